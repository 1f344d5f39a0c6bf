"""Archives of mail: a folder of .eml files, an mbox, a Maildir, each with an index beside it.

The index has a line for each mail, in JSON, with what the archive can't say in its own form: its ID, when it
came, from where, and its envelope. It is written behind the mail itself; so an export that was cut short goes
on behind the last line, and an import finds everything as it was.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Protocol, Self

import msgspec

from mailbell.cli.mailfiles import quote
from mailbell.errors import DataError
from mailbell.mail import Envelope, Mail, Source

NAME = "mailbell.jsonl"
TAIL = 2**20
"""Octets of an index that its last line is looked for in."""


class Note(msgspec.Struct, frozen=True):
    """A line of the index. `end`: where an mbox ends with this mail."""

    sequence: int
    file: str
    end: int
    id: str
    received_at: int
    ioserver: str
    source: Source
    envelope: Envelope


decode = msgspec.json.Decoder(Note).decode
_encode = msgspec.json.Encoder().encode


class Form(Protocol):
    """A kind of archive; `index` is the path of its index."""

    index: Path

    def begin(self, end: int) -> None:
        """Go on behind what is there."""
        ...

    def add(self, mail: Mail) -> tuple[str, int]:
        """Write the mail; its file, and where that ends."""
        ...

    def close(self) -> None:
        """Release the files."""
        ...


class EmlFolder:
    """One file a mail."""

    def __init__(self, target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        self.index = target / NAME
        self._target = target

    def begin(self, end: int) -> None:
        """Go on behind what is there."""

    def add(self, mail: Mail) -> tuple[str, int]:
        """Write the mail; its file, and where that ends."""
        name = f"{mail.id}.eml"
        _write(self._target / name, mail)
        return name, len(mail.raw)

    def close(self) -> None:
        """Nothing is open."""


class Maildir(EmlFolder):
    """One file a mail, as unread mail; whole or not there."""

    def __init__(self, target: Path) -> None:
        super().__init__(target)
        for name in ("tmp", "new", "cur"):
            (target / name).mkdir(exist_ok=True)

    def add(self, mail: Mail) -> tuple[str, int]:
        name = f"{mail.received_at // 1000}.{mail.id}.mailbell"
        _write(self._target / "tmp" / name, mail)
        (self._target / "tmp" / name).replace(self._target / "new" / name)
        return f"new/{name}", len(mail.raw)


class Mbox:
    """All in one file (RFC 4155, quoted as mboxrd)."""

    def __init__(self, target: Path) -> None:
        self.index = target.with_name(f"{target.name}.jsonl")
        self._name = target.name
        self._file = _open(target)

    def begin(self, end: int) -> None:
        """Cut off what a run that was killed has half written."""
        self._file.truncate(end)
        self._file.seek(end)

    def add(self, mail: Mail) -> tuple[str, int]:
        sender = mail.envelope.mail_from.encode("ascii", "replace").replace(b" ", b"_") or b"MAILER-DAEMON"
        when = time.asctime(time.gmtime(mail.received_at / 1000)).encode()
        end = b"" if mail.raw.endswith(b"\n") else b"\r\n"
        self._file.write(b"From %s %s\n%s%s\n" % (sender, when, quote(mail.raw), end))
        self._file.flush()
        return self._name, self._file.tell()

    def close(self) -> None:
        self._file.close()


FORMATS: dict[str, Callable[[Path], Form]] = {"eml": EmlFolder, "maildir": Maildir, "mbox": Mbox}


class Archive:
    """An archive that is written, from where the last run ended. A context manager."""

    def __init__(self, form: str, target: Path) -> None:
        """DataError when it can't be written, or is none of ours."""
        with ExitStack() as stack, _explained(target):
            self._form = FORMATS[form](target)
            stack.callback(self._form.close)
            self._index: IO[bytes] = _open(self._form.index)
            stack.callback(self._index.close)
            note = _last(self._index)
            self._form.begin(0 if note is None else note.end)
            self._stack = stack.pop_all()
        self.last = 0 if note is None else note.sequence
        """The sequence of the last mail that is in it."""

    def add(self, sequence: int, mail: Mail) -> None:
        """Write the mail, then its line."""
        file, end = self._form.add(mail)
        note = Note(sequence, file, end, mail.id, mail.received_at, mail.ioserver, mail.source, mail.envelope)
        self._index.write(_encode(note) + b"\n")
        self._index.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{target}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise DataError(f"{target} has an index that is none of ours ({error}); choose another") from error


def _open(path: Path) -> IO[bytes]:
    """For reading and writing; made if need be, what is in it stays."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")


def _write(path: Path, mail: Mail) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(mail.raw)
    os.utime(path, (mail.received_at / 1000,) * 2)


def _last(index: IO[bytes]) -> Note | None:
    """The last whole line; what a kill has left of another one is cut off."""
    size = index.seek(0, os.SEEK_END)
    start = max(0, size - TAIL)
    index.seek(start)
    tail = index.read()
    whole = tail[: tail.rfind(b"\n") + 1]
    index.truncate(start + len(whole))
    index.seek(start + len(whole))
    return decode(whole.splitlines()[-1]) if whole else None
