"""The users file: its hashes, its lines, and how it is written."""

import os
import subprocess
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbell.errors import StartupError
from mailbell.login.passwords import hash_password, parse, put, remove, verify
from tests.tools import find, leave_out

SCRYPT = hash_password("sesame")


@settings(max_examples=5, deadline=None)
@given(st.text(min_size=1))
def test_every_kind_knows_its_password_and_no_other(password: str) -> None:
    bcrypted = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    for hashed in (hash_password(password), bcrypted, "{PLAIN}" + password):
        assert verify(password, hashed)
        assert not verify("x" + password, hashed)


def test_a_hash_of_htpasswd(tmp_path: Path) -> None:
    if find("htpasswd") is None:
        known = "cam:$2y$05$" + bcrypt.hashpw(b"sesame", b"$2b$05$abcdefghijklmnopqrstuu").decode()[7:]
        (tmp_path / "users").write_text(known + "\n")
    else:
        subprocess.run(["htpasswd", "-cbB", tmp_path / "users", "cam", "sesame"], check=True)
    assert verify("sesame", parse(tmp_path / "users")["cam"])


def test_a_password_longer_than_bcrypt_sees(tmp_path: Path) -> None:
    hashed = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert verify("x" * 100, hashed)


def test_a_file_as_people_write_it(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_bytes(f"# cameras\r\n\r\nporch:{SCRYPT}\r\nold cam:{{PLAIN}} a:b # \r\n".encode())
    assert parse(file) == {"porch": SCRYPT, "old cam": "{PLAIN} a:b # "}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("secret", "expected name:hash"),
        ("a:secret", "expected scrypt or bcrypt behind the name; `mailbell user add` and `htpasswd -B`"),
        ("a:$apr1$secret", "expected scrypt or bcrypt"),
        ("a:", "expected scrypt or bcrypt"),
        ("a:{PLAIN}", "expected scrypt or bcrypt"),
        ("a:$scrypt$secret", "expected scrypt or bcrypt"),
        ("a:$scrypt$999999$8$1$c2FsdA==$c2VjcmV0", "expected scrypt or bcrypt"),
        ("a:$scrypt$16777216$8$1$c2FsdA==$c2VjcmV0", "expected scrypt or bcrypt"),
        ("a:$2b$31$" + "a" * 53, "expected scrypt or bcrypt"),
        pytest.param(":" + SCRYPT, "a user's name has no colon", id="no name"),
        ("a:{PLAIN}x\na:{PLAIN}secret", "user a stands here twice"),
    ],
)
def test_a_line_that_is_no_use_is_named_without_its_content(
    tmp_path: Path, line: str, complaint: str
) -> None:
    file = tmp_path / "users"
    file.write_text(f"# a comment\n{line}\n")
    with pytest.raises(StartupError) as error:
        parse(file)
    assert str(error.value).startswith(f"{file}:{2 + line.count(chr(10))}: {complaint}")
    assert "secret" not in str(error.value)


def test_files_that_are_no_use(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"caf\xe9:{PLAIN}x\n")
    for name, complaint in (
        ("latin", "not UTF-8"),
        ("gone", "no such file; `mailbell user add`"),
        (".", "Is a dir"),
    ):
        with pytest.raises(StartupError, match=complaint):
            parse(tmp_path / name)


def test_users_come_change_and_go_and_the_rest_stays(tmp_path: Path) -> None:
    file = tmp_path / "users"
    put(file, "one", "1")
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("# mine\n" + file.read_text() + f"\ntwo:{SCRYPT}\n")
    put(file, "one", "uno")
    put(file, "three", "3")
    assert verify("uno", parse(file)["one"])
    assert [line.partition(":")[0] for line in file.read_text().split("\n")] == [
        "# mine",
        "one",
        "",
        "two",
        "three",
        "",
    ]
    remove(file, "one")
    assert list(parse(file)) == ["two", "three"]
    assert file.read_text().startswith("# mine\n\ntwo:")
    with pytest.raises(StartupError, match="there is no user one"):
        remove(file, "one")


def test_the_file_keeps_its_owner_and_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "users"
    put(file, "one", "1")
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 12345, 12345)
    put(file, "two", "2")
    found = file.stat()
    assert found.st_mode & 0o777 == 0o640
    assert found.st_uid == (12345 if os.geteuid() == 0 else os.geteuid())
    assert sorted(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", " a", "a ", "#a", "a\tb"])
def test_names_that_a_line_can_not_hold(tmp_path: Path, name: str) -> None:
    with pytest.raises(StartupError, match="has no colon"):
        put(tmp_path / "users", name, "x")
    assert not (tmp_path / "users").exists()


def test_an_empty_password(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="password is empty"):
        put(tmp_path / "users", "a", "")


def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="can't be written: No such file"):
        put(tmp_path / "gone" / "users", "a", "x")
    if not Path("/proc/self").is_dir():
        leave_out("no /proc here")
    with pytest.raises(StartupError, match="can't be written"):
        put(Path("/proc/self/users"), "a", "x")
