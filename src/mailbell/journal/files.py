"""Opening the SQLite files: what they are, their version, their health. Every failure is one DataError."""

import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Literal

import msgspec

from mailbell.errors import DataError, JournalFull, JournalUnavailable
from mailbell.journal.folder import ANOTHER

WRITABLE = "give the file and its folder to the user that mailbell runs as"
DAMAGED = "keep a copy, then put a backup in its place or mend it with sqlite3's .recover"

NO_ROOM = 64 * 1024
MAX_VALUES = 999
"""What SQLite before 3.32 takes as values of one statement, and some distributions after it."""

logger = logging.getLogger("mailbell.journal")


class Schema(msgspec.Struct, frozen=True):
    """A kind of file. `steps[n]` takes version n to n + 1, by statements and calls; version 0 is empty."""

    application_id: int
    page_size: int
    steps: tuple[tuple[str | Callable[[sqlite3.Connection], None], ...], ...]

    @property
    def version(self) -> int:
        """The version that this program reads and writes."""
        return len(self.steps)


def open_writer(path: Path, schema: Schema, synchronous: Literal["FULL", "NORMAL"]) -> sqlite3.Connection:
    """Open the one writing connection of a file; make, check and migrate it first.

    There must never be a second one: SQLite before 3.51.3 can corrupt a WAL that two connections write or
    checkpoint.
    """
    with starting(path):
        unclean = _left_behind(path)
        path.touch(mode=0o600)
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=1, cached_statements=256
        )
        try:
            _prepare(connection, path, schema, unclean)
            connection.execute(f"pragma synchronous = {synchronous}")
        except BaseException:
            connection.close()
            raise
        return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a reading connection to a file that is open for writing; it never writes nor checkpoints."""
    uri = path.absolute().as_uri() + "?mode=ro"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


@contextmanager
def starting(path: Path) -> Iterator[None]:
    """Turn what can go wrong with this file into a DataError."""
    try:
        yield
    except sqlite3.Error as error:
        raise DataError(f"{path}: {explain(error, path)}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; {WRITABLE}") from error


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Turn what goes wrong with this file while it is in use into JournalFull or JournalUnavailable."""
    try:
        yield
    except sqlite3.Error as error:
        kind = JournalFull if is_full(error, path) else JournalUnavailable
        raise kind(f"{path.name}: {explain(error, path)}") from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All of the block's statements or none."""
    connection.execute("begin immediate")
    try:
        yield connection
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled it back already
            connection.execute("rollback")
        raise


def execute_rows(
    connection: sqlite3.Connection, statement: str, rows: Sequence[Sequence[object]], *before: object
) -> None:
    """Execute `statement` for all rows, its `{}` standing for `(?,?),(?,?)…`, many at once.

    Not `executemany`: each step of SQLite lets go of the GIL and has to win it back from the event loop.
    """
    step = (MAX_VALUES - len(before)) // len(rows[0]) if rows else 1
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        with_marks = _with_marks(statement, len(some), len(some[0]))
        connection.execute(with_marks, [*before, *chain.from_iterable(some)])


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """Return a number that SQLite keeps."""
    value: int = connection.execute(f"pragma {name}").fetchone()[0]
    return value


def is_full(error: sqlite3.Error, path: Path) -> bool:
    """Whether a failure with this file is for want of room: an I/O error if the -shm can not grow."""
    code = _code(error)
    return code == sqlite3.SQLITE_FULL or (
        code == sqlite3.SQLITE_IOERR and shutil.disk_usage(path.parent).free < NO_ROOM
    )


def explain(error: sqlite3.Error, path: Path) -> str:
    """Say what a failure with this file means for the person who has to mend it."""
    if is_full(error, path):
        return "no room on the disk; free some"
    match _code(error):
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return f"damaged ({error}); {DAMAGED}"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_AUTH:
            return f"can't be written ({error}); {WRITABLE}"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"in use by another program ({error}); close that program"
        case _:
            return f"{error}; look at the disk and the system's log"


@cache
def _with_marks(statement: str, rows: int, columns: int) -> str:
    row = f"({','.join('?' * columns)})"
    return statement.format(",".join([row] * rows))


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _left_behind(path: Path) -> bool:
    """Whether the last process died: the last connection that closes a file removes its WAL."""
    wal = Path(f"{path}-wal")
    return wal.exists() and wal.stat().st_size > 0


def _prepare(connection: sqlite3.Connection, path: Path, schema: Schema, unclean: bool) -> None:
    check_kind(connection, path, schema)
    if unclean:
        _check_health(connection, path)
    if pragma(connection, "page_count") == 0:  # neither can change later
        connection.execute(f"pragma page_size = {schema.page_size}")
        connection.execute("pragma auto_vacuum = incremental")
    connection.execute("pragma journal_mode = wal")
    connection.execute(f"pragma journal_size_limit = {64 * 2**20}")
    # Debian's default overwrites what is removed, by way of the WAL: on a full disk nothing could be removed.
    connection.execute("pragma secure_delete = fast")
    _migrate(connection, path, schema)


def check_kind(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    """Before anything is written: a file of ours, and not of a program newer than this one."""
    tables = connection.execute("select count(*) from sqlite_schema").fetchone()[0]
    if tables and pragma(connection, "application_id") != schema.application_id:
        raise DataError(f"{path}: not a file of mailbell's; move it away, or {ANOTHER}")
    version = pragma(connection, "user_version")
    if version > schema.version:
        raise DataError(
            f"{path}: written by a newer mailbell (format {version}, this one reads up to {schema.version}); "
            f"install that version again, or {ANOTHER}"
        )


def _check_health(connection: sqlite3.Connection, path: Path) -> None:
    logger.info("%s was not closed properly; looking for damage", path)
    found: str = connection.execute("pragma quick_check(1)").fetchone()[0]
    if found != "ok":
        raise DataError(f"{path}: damaged ({found.splitlines()[-1]}); {DAMAGED}")


def _migrate(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    """Take the steps that the file has not had yet, each whole or not at all."""
    version = pragma(connection, "user_version")
    for number, step in enumerate(schema.steps[version:], version + 1):
        with transaction(connection):
            for each in step:
                if isinstance(each, str):
                    connection.execute(each)
                else:
                    each(connection)
            connection.execute(f"pragma application_id = {schema.application_id}")
            connection.execute(f"pragma user_version = {number}")
        if version:
            logger.info("%s: migrated to format %d", path, number)
    with transaction(connection):
        pass  # a file that can't be written says so now, not at the first mail
