"""Backup and restore. A backup is a data folder like any other, so `serve --data` runs on it as it is.

Theory of operation. Each SQLite file is copied through a connection that only reads, in one transaction: as
of one moment, however long it takes, and the server goes on writing. Positions are copied first and mail
last, so whatever the copy of delivery.db calls settled is older than the copy of journal.db: the worst is an
event that comes again. Meanwhile the WAL can't be emptied; it grows by the mail that comes in.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from mailbell.errors import DataError
from mailbell.journal.files import DAMAGED, open_reader, pragma, starting
from mailbell.journal.folder import ANOTHER, LOCK, DataFolder

JOURNAL = "journal.db"
PAGES = 256
"""Pages copied between two signs of progress: 4 MiB of the journal."""

_LEFT_OUT = {LOCK, "logs", "node"}
"""What belongs to the process, what only grows, what tells this node from others. Sockets are no files."""

Progress = Callable[[int], None]
"""Called with the octets that are done since the last call."""


class Backup(msgspec.Struct, frozen=True):
    """What is in one: the newest mail's sequence, and octets of its files."""

    last_sequence: int
    size: int


def size(data: Path) -> int:
    """Octets that a backup of this folder is about to have, for a sign of progress."""
    return sum(path.stat().st_size for path in (*_databases(data), *_others(data)))


def backup(data: Path, target: Path, progress: Progress) -> Backup:
    """Copy the data folder, also of a running server, to `target`, which must not be there yet.

    DataError when that can't be; then nothing is left behind.
    """
    if not (data / JOURNAL).is_file():
        raise DataError(f"{data / JOURNAL}: no such file; name the data folder with -c FILE or --data DIR")
    if target.exists():
        raise DataError(f"{target} is there already; a backup makes its own folder, so choose another name")
    partial = target.with_name(f"{target.name}.partial")
    try:
        with _writing(partial):
            shutil.rmtree(partial, ignore_errors=True)  # of a backup that was killed
            partial.mkdir(mode=0o700, parents=True)
            _copy_all(data, partial, progress)
            partial.replace(target)
            _sync(target.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return _content(target)


def restore(source: Path, data: Path, progress: Progress) -> Backup:
    """Copy a backup into a data folder that holds no journal yet, and that no server runs on.

    DataError when the backup is none, or damaged, or there is mail already. Killed, it may be called again.
    """
    if not (source / JOURNAL).is_file():
        raise DataError(f"{source}: not a backup: there is no {JOURNAL} in it")
    for path in _databases(source):
        _check(path)
    with DataFolder(data):
        if (data / JOURNAL).exists():
            raise DataError(f"{data} holds mail already; move that folder away, or {ANOTHER}")
        with _writing(data):
            _copy_all(source, data, progress)
    return _content(data)


def _databases(folder: Path) -> list[Path]:
    """The journal comes last."""
    return sorted(folder.glob("*.db"), key=lambda path: (path.name == JOURNAL, path.name))


def _others(folder: Path) -> list[Path]:
    """The certificate and its key, and whatever else is kept there."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_other(path, folder)]


def _is_other(path: Path, folder: Path) -> bool:
    inside = path.relative_to(folder)
    of_sqlite = len(inside.parts) == 1 and path.name.endswith((".db", ".db-wal", ".db-shm", ".db-journal"))
    return inside.parts[0] not in _LEFT_OUT and not of_sqlite and path.suffix != ".copying"


def _copy_all(source: Path, target: Path, progress: Progress) -> None:
    for path in (*_others(source), *_databases(source)):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(mode=0o700, exist_ok=True)
        half = copy.with_name(f"{copy.name}.copying")
        half.unlink(missing_ok=True)
        half.touch(mode=0o600)
        if path.suffix == ".db":
            _copy_database(path, half, progress)
        else:
            shutil.copyfile(path, half)
            progress(path.stat().st_size)
        _sync(half)
        half.replace(copy)
        _sync(copy.parent)


def _copy_database(path: Path, copy: Path, progress: Progress) -> None:
    with closing(_snapshot(path)) as reader, starting(copy), closing(sqlite3.connect(copy)) as writer:
        page_size, left = pragma(reader, "page_size"), pragma(reader, "page_count")
        writer.execute("pragma synchronous = off")  # _sync does it, once

        def step(_status: int, remaining: int, _total: int) -> None:
            nonlocal left
            progress((left - remaining) * page_size)
            left = remaining

        reader.backup(writer, pages=PAGES, progress=step)
        writer.execute("pragma journal_mode = delete")  # so that it can be read where nothing can be written


def _snapshot(path: Path) -> sqlite3.Connection:
    """A connection that from here on sees this moment."""
    with starting(path):
        reader = open_reader(path)
        try:
            reader.execute("begin")
            reader.execute("select 1 from sqlite_schema").fetchone()
        except BaseException:
            reader.close()
            raise
    return reader


def _check(path: Path) -> None:
    with starting(path), closing(open_reader(path)) as reader:
        found: str = reader.execute("pragma quick_check(1)").fetchone()[0]
    if found != "ok":
        raise DataError(f"{path}: damaged ({found.splitlines()[-1]}); {DAMAGED}")


def _content(folder: Path) -> Backup:
    with starting(folder / JOURNAL), closing(open_reader(folder / JOURNAL)) as reader:
        last = reader.execute("select max(sequence) from mail").fetchone()[0]
    return Backup(last or 0, size(folder))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn what the disk says into a DataError."""
    try:
        yield
    except OSError as error:
        where = error.filename2 or error.filename or folder
        raise DataError(f"{where}: {error.strerror}; free some room, or choose another place") from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
