"""Messages from files, folders, mboxes and Maildirs."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

_SUFFIXES = {".eml", ".mbox", ".mbx"}
_SEPARATOR = re.compile(rb"From .*[0-9]:[0-9]{2}")
_QUOTED = re.compile(rb">+From ")
_TO_QUOTE = re.compile(rb"^(>*From )", re.MULTILINE)


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
    return (message for _, message in split_apart(stream))


def split_apart(stream: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The same, each behind its `From ` line, which is empty where the file is no mbox."""
    first = stream.readline()
    return _mbox(first, stream) if _SEPARATOR.match(first) else iter([(b"", first + stream.read())])


def _mbox(separator: bytes, lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """RFC 4155: a `From ` line after an empty one begins a message; `>From ` is quoted (mboxrd)."""
    message: list[bytes] = []
    after_empty = True
    for line in lines:
        if after_empty and _SEPARATOR.match(line):
            yield separator, _joined(message)
            separator, message = line, []
        else:
            message.append(line[1:] if _QUOTED.match(line) else line)
        after_empty = not line.strip(b"\r\n")
    yield separator, _joined(message)


def quote(message: bytes) -> bytes:
    """The message as an mbox holds it: the inverse of reading one."""
    return _TO_QUOTE.sub(rb">\1", message)


def _joined(message: list[bytes]) -> bytes:
    """Without the empty line that belongs to the separator."""
    return b"".join(message[:-1] if message and not message[-1].strip(b"\r\n") else message)
