"""Messages from files, folders, mboxes and Maildirs."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

_SUFFIXES = {".eml", ".mbox", ".mbx"}
_SEPARATOR = re.compile(rb"From .*[0-9]:[0-9]{2}")
_QUOTED = re.compile(rb">+From ")


def find(paths: Sequence[Path]) -> list[Path]:
    """Put in the place of each folder what is in it, at any depth: .eml and .mbox files and Maildirs."""
    return [file for path in paths for file in ([path] if not path.is_dir() else _inside(path))]


def _inside(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if _is_mail(file) and file.is_file())


def _is_mail(file: Path) -> bool:
    in_maildir = file.parent.name in {"cur", "new"} and (file.parent.parent / "tmp").is_dir()
    return file.suffix.lower() in _SUFFIXES or in_maildir


def split(stream: IO[bytes]) -> Iterator[bytes]:
    """The messages of a file: one, or as many as an mbox has."""
    first = stream.readline()
    return _mbox(stream) if _SEPARATOR.match(first) else iter([first + stream.read()])


def _mbox(lines: Iterable[bytes]) -> Iterator[bytes]:
    """RFC 4155: a `From ` line after an empty one begins a message; `>From ` is quoted (mboxrd)."""
    message: list[bytes] = []
    after_empty = True
    for line in lines:
        if after_empty and _SEPARATOR.match(line):
            yield _joined(message)
            message = []
        else:
            message.append(line[1:] if _QUOTED.match(line) else line)
        after_empty = not line.strip(b"\r\n")
    yield _joined(message)


def _joined(message: list[bytes]) -> bytes:
    """Without the empty line that belongs to the separator."""
    return b"".join(message[:-1] if message and not message[-1].strip(b"\r\n") else message)
