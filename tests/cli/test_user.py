"""`mailbell user`: passwords asked for without echo, kept as hashes, never on the command line."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mailbell.cli.main import commands
from mailbell.login.passwords import parse, verify


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(commands, ["user", *arguments], input=stdin)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "users"


def test_users_come_and_go(file: Path) -> None:
    assert run("add", "cam", str(file), "--stdin", stdin="sesame\n").stdout == f"{file}: cam may log in\n"
    assert verify("sesame", parse(file)["cam"])
    with file.open("a") as users:
        users.write("old:{PLAIN}x\nodd\u202e:{PLAIN}x\n")
    assert run("list", str(file)).stdout == "cam  scrypt\nold  readable\nodd\\u202e  readable\n"
    assert run("remove", "old", str(file)).stdout == f"{file}: old is removed\n"
    assert "old" not in parse(file)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("add", "a:b", "--stdin"), "has no colon"),
        (("add", "cam", "--stdin"), "the password is empty"),
        (("add", "cam"), "there is no terminal to ask for the password; pipe it in and say --stdin"),
        (("remove", "cam"), "no such file"),
        (("list",), "no such file; `mailbell user add` makes it"),
    ],
)
def test_what_goes_wrong_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments, stdin="")
    assert result.exit_code == 1
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_password_is_asked_for_twice_and_not_shown(file: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mailbell", "user", "add", "cam", str(file)]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        shown = b""
        for prompt, answer in (
            (b"Password: ", b"sesame\n"),
            (b"confirmation: ", b"typo\n"),
            (b"Password: ", b"sesame\n"),
            (b"confirmation: ", b"sesame\n"),
        ):
            part = b""
            while not part.endswith(prompt):
                part += os.read(ours, 1)
            os.write(ours, answer)
            shown += part
        while b"may log in" not in shown:
            shown += os.read(ours, 1)
        assert process.wait(20) == 0
    os.close(ours)
    assert b"sesame" not in shown
    assert verify("sesame", parse(file)["cam"])
