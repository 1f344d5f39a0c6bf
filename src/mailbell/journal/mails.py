"""`journal.db`: the mail. One writer and any number of readers, in one process or two; blocking calls."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from mailbell.errors import DataError, MailGone
from mailbell.journal.files import (
    Schema,
    check_kind,
    execute_rows,
    open_reader,
    open_writer,
    pragma,
    starting,
)
from mailbell.mail import Envelope, Mail, Source

SCHEMA = Schema(
    application_id=0x6D62_6A6C,  # "mbjl"
    page_size=16384,  # 10 MB mails go in 2.3 times as fast as with SQLite's 4096, small ones no slower
    steps=(
        (
            """create table mail (
                sequence integer primary key, id text not null, received_at integer not null,
                ioserver text not null, meta text not null, size integer not null,
                raw blob not null)""",  # last: what comes before it is read without it
        ),
    ),
)

Row = tuple[str, int, str, str, int, bytes]
"""A mail as its columns, without the sequence."""

READ_AHEAD = 64
READ_AHEAD_OCTETS = 2**20
SPARE_PAGES = 512
SHRINK_PAGES = 256

FOLLOWING = """select sequence, id, received_at, ioserver, meta, raw from mail
    where sequence >= ? order by sequence limit ?"""


class Meta(msgspec.Struct, frozen=True):
    """What of a mail is kept as JSON, in the column of this name."""

    envelope: Envelope
    source: Source


class Old(msgspec.Struct, frozen=True):
    """What retention has to know of a mail."""

    sequence: int
    received_at: int
    size: int


_decode = msgspec.json.Decoder(Meta).decode


def encode(mail: Mail) -> Row:
    """Return the mail's columns."""
    meta = msgspec.json.encode(Meta(mail.envelope, mail.source)).decode()
    return mail.id, mail.received_at, mail.ioserver, meta, len(mail.raw), mail.raw


class MailWriter:
    """The one writing connection, used by one thread at a time. Each call raises sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        """Open; make, check and migrate the file first. DataError when that can't be."""
        self.path = path
        self._connection = open_writer(path, SCHEMA, "FULL")
        try:
            with starting(path):
                # A checkpoint of this many pages takes its time: not in the middle of somebody's commit.
                self._connection.execute("pragma wal_autocheckpoint = 0")
                self.last = _number(self._connection, "select max(sequence) from mail")
                """The newest sequence when opened. It is never removed, or one could be given twice."""
        except DataError:
            self.close()
            raise

    def insert(self, first: int, rows: Sequence[Row]) -> None:
        """Store the rows with sequences from `first` on, in one durable transaction.

        As many as one statement takes: that is a transaction by itself.
        """
        numbered = [(sequence, *row) for sequence, row in enumerate(rows, first)]
        execute_rows(self._connection, "insert into mail values {}", numbered)

    def remove(self, sequences: Sequence[int]) -> None:
        """Remove these mails."""
        rows = [(sequence,) for sequence in sequences]
        execute_rows(self._connection, "delete from mail where sequence in (values {})", rows)

    def shrink(self) -> bool:
        """Give some free pages back to the disk; False when few enough are left, for the mail to come."""
        spare = pragma(self._connection, "freelist_count")
        if spare <= max(SPARE_PAGES, pragma(self._connection, "page_count") // 8):
            return False
        self._connection.execute(f"pragma incremental_vacuum({SHRINK_PAGES})").fetchall()
        return pragma(self._connection, "freelist_count") < spare

    def checkpoint(self) -> None:
        """Move what the WAL has into the file itself, as far as readers let it."""
        self._connection.execute("pragma wal_checkpoint(passive)").fetchall()

    def close(self) -> None:
        """Close: the last connection to close empties the WAL and removes it."""
        self._connection.close()


class MailReader:
    """A reading connection, used by one thread at a time. Each call raises sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        """Open a file that a MailWriter has open."""
        self.path = path
        with starting(path):
            self._connection = open_reader(path)

    def first(self) -> int:
        """The oldest sequence that is still there; 0 when there is none."""
        return _number(self._connection, "select min(sequence) from mail")

    def last(self) -> int:
        """The newest sequence; 0 when there is none."""
        return _number(self._connection, "select max(sequence) from mail")

    def read(self, sequence: int) -> list[tuple[int, Mail]]:
        """Return the mail of this sequence and some that follow it. MailGone when it isn't there."""
        cursor = self._connection.execute(FOLLOWING, (sequence, READ_AHEAD))
        found = list(_until_enough(cursor))
        cursor.close()
        if not found or found[0][0] != sequence:
            raise MailGone(
                f"mail {sequence} is not in the journal: removed by retention, or not received yet"
            )
        return found

    def oldest(self, after: int, until: int, limit: int) -> list[Old]:
        """Return up to `limit` mails with `after < sequence <= until`, oldest first."""
        rows = self._connection.execute(
            "select sequence, received_at, size from mail"
            " where sequence > ? and sequence <= ? order by sequence limit ?",
            (after, until, limit),
        )
        return [Old(*row) for row in rows]

    def used(self) -> int:
        """Octets of the file that hold something."""
        pages = pragma(self._connection, "page_count") - pragma(self._connection, "freelist_count")
        return pages * pragma(self._connection, "page_size")

    def close(self) -> None:
        """Close."""
        self._connection.close()


def read_all(path: Path, after: int) -> Iterator[tuple[int, Mail]]:
    """Yield sequence and mail of all after this sequence; a server may be writing. DataError: no journal."""
    with _reading(path) as reader:
        while found := list(_until_enough(reader.execute(FOLLOWING, (after + 1, READ_AHEAD)))):
            yield from found
            after = found[-1][0]


def last_sequence(path: Path) -> int:
    """The newest sequence of a journal that a server may be writing. DataError: no journal."""
    with _reading(path) as reader:
        return _number(reader, "select max(sequence) from mail")


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; name the data folder with -c FILE or --data DIR")
    with starting(path), closing(open_reader(path)) as reader:
        check_kind(reader, path, SCHEMA)
        yield reader


def _number(connection: sqlite3.Connection, query: str) -> int:
    return connection.execute(query).fetchone()[0] or 0


def _until_enough(rows: sqlite3.Cursor) -> Iterator[tuple[int, Mail]]:
    octets = 0
    for sequence, id_, received_at, ioserver, meta, raw in rows:
        known = _decode(meta)
        yield sequence, Mail(id_, received_at, ioserver, known.source, known.envelope, raw)
        octets += len(raw)
        if octets >= READ_AHEAD_OCTETS:
            return
