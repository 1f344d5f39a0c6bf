"""Messages from files, folders, mboxes and Maildirs."""

import io
import mailbox
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mailbell.cli.mailfiles import find, split

HEAD = b"From me@example.com Mon Jan 25 18:24:49 2016\n"


def messages(data: bytes) -> list[bytes]:
    return list(split(io.BytesIO(data)))


def test_a_message_is_one() -> None:
    for data in (b"Subject: x\r\n\r\nFrom here on\r\n", b"", b"From: me@example.com\n\ntext", b"From here"):
        assert messages(data) == [data]


def test_an_mbox_is_many() -> None:
    data = HEAD + b"Subject: 1\n\none\n\n" + HEAD + b"Subject: 2\n\ntwo\n>From x\n>>From y\nFrom z\n\n"
    assert messages(data) == [b"Subject: 1\n\none\n", b"Subject: 2\n\ntwo\nFrom x\n>From y\nFrom z\n"]


def test_only_a_separator_after_an_empty_line_separates() -> None:
    text = b"Subject: 1\n\nsee\n" + HEAD + b"\nFrom here it goes on\n"
    assert messages(HEAD + text) == [text]


def test_line_ends_are_kept() -> None:
    data = (HEAD + b"A: 1\n\nx\n\n" + HEAD + b"B: 2\n\ny\n\n").replace(b"\n", b"\r\n")
    assert messages(data) == [b"A: 1\r\n\r\nx\r\n", b"B: 2\r\n\r\ny\r\n"]


@given(
    st.lists(st.lists(st.sampled_from([b"From x 10:00", b">From x", b"", b"text"]), min_size=1), min_size=1)
)
def test_what_an_mbox_writer_writes_is_read_back(bodies: list[list[bytes]]) -> None:
    written = [b"A: 1\n\n" + b"".join(line + b"\n" for line in body) for body in bodies]
    quoted = [
        b"".join(
            (b">" if line.lstrip(b">").startswith(b"From ") else b"") + line for line in each.splitlines(True)
        )
        for each in written
    ]
    assert messages(b"".join(HEAD + each + b"\n" for each in quoted)) == written


def test_an_mbox_of_the_standard_library(tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "box")
    for number in range(3):
        box.add(f"Subject: {number}\n\nFrom here\n\n")
    box.close()
    assert messages((tmp_path / "box").read_bytes()) == [
        b"Subject: %d\n\nFrom here\n\n" % number for number in range(3)
    ]


def test_folders_are_searched_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    maildir = mailbox.Maildir(tmp_path / "b" / "maildir")
    key = maildir.add("Subject: x\n\n")
    for name in ("a.eml", "b/c.EML", "b/d.mbox", "b/readme.txt", "c/new/no-maildir"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find([tmp_path])]
    assert found == ["a.eml", "b/c.EML", "b/d.mbox", f"b/maildir/new/{key}"]
    assert find([tmp_path / "b" / "readme.txt", Path("gone")]) == [
        tmp_path / "b" / "readme.txt",
        Path("gone"),
    ]
