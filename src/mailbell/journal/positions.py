"""`delivery.db`: the consumers, written behind. Losing its last moments means a repeat, never a loss."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mailbell.errors import JournalError
from mailbell.journal.base import Parked
from mailbell.journal.files import Schema, execute_rows, in_use, open_writer, starting, transaction

DELIVERY = "delivery.db"

SCHEMA = Schema(
    application_id=0x6D62_646C,  # "mbdl"
    page_size=4096,  # one is rewritten for every flush: the smaller, the less wear on an SD card
    steps=(
        (
            "create table consumer (name text primary key, floor integer not null) without rowid",
            """create table waiting (
                consumer text not null, sequence integer not null, attempts integer not null,
                first_attempt_at real, since real not null, due real not null, reason text not null,
                primary key (consumer, sequence)) without rowid""",
            """create table parked (
                consumer text not null, sequence integer not null, attempts integer not null,
                parked_at real not null, reason text not null,
                primary key (consumer, sequence)) without rowid""",
        ),
    ),
)

DELAY = 0.05
"""Seconds for which changes are gathered into one transaction."""

AGAIN = 1.0
"""Seconds until a transaction that failed is tried again."""

T = TypeVar("T")
Key = tuple[str, int]

logger = logging.getLogger("mailbell.journal")


class Waiting(msgspec.Struct, frozen=True):
    """An event that waits for its turn.

    `since` is when it was put there: a clock set back while nobody ran does not make it wait for longer than
    meant.
    """

    attempts: int
    first_attempt_at: float | None
    since: float
    due: float
    reason: str


class Saved(msgspec.Struct, frozen=True):
    """A consumer as it was written down."""

    floor: int
    waiting: dict[int, Waiting]
    parked: list[int]


class Changes(msgspec.Struct):
    """What is to be written: the newest state of everything touched. None: gone."""

    floors: dict[str, int] = {}
    waiting: dict[Key, Waiting | None] = {}
    parked: dict[Key, Parked | None] = {}

    def __bool__(self) -> bool:
        return bool(self.floors or self.waiting or self.parked)

    def update(self, newer: "Changes") -> None:
        """Go on to the state that `newer` knows."""
        self.floors |= newer.floors
        self.waiting |= newer.waiting
        self.parked |= newer.parked


class Positions:
    """The positions, waiting and parked events of all consumers. Changes are noted at once, written soon."""

    def __init__(self, path: Path) -> None:
        """Open; DataError when that can't be."""
        self._path = path
        self._connection = open_writer(path, SCHEMA, "NORMAL")
        self._thread = ThreadPoolExecutor(1, "positions")
        self._changes = Changes()
        self._writing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing = False

    def move(self, name: str, floor: int) -> None:
        """Note a consumer's floor."""
        self._changes.floors[name] = floor
        self._soon(DELAY)

    def wait(self, name: str, sequence: int, waiting: Waiting | None) -> None:
        """Note that an event waits, or (None) does so no longer."""
        self._changes.waiting[name, sequence] = waiting
        self._soon(DELAY)

    def park(self, name: str, sequence: int, parked: Parked | None) -> None:
        """Note that an event is parked, or (None) is so no longer."""
        self._changes.parked[name, sequence] = parked
        self._soon(DELAY)

    async def load(self, name: str, last: int) -> Saved:
        """Return what is known of a consumer of a journal that ends at `last`; a new one starts there.

        One that is further than that belongs to a journal since put back from a backup: it is taken back too.
        """
        return await self._run(lambda: _load(self._connection, name, last))

    async def forget(self, name: str) -> None:
        """Remove all that is known of a consumer."""
        await self.flush()
        await self._run(lambda: _forget(self._connection, name))

    async def parked(self, name: str) -> list[Parked]:
        """Return a consumer's parked events in order of sequence."""
        await self.flush()
        rows = await self._run(
            lambda: self._connection.execute(f"{PARKED} order by sequence", (name,)).fetchall()
        )
        return [Parked(*row) for row in rows]

    async def noted(self, name: str, sequence: int) -> Waiting | Parked | None:
        """Return what is noted of one event; None: it is settled, or not yet answered."""
        await self.flush()
        return await self._run(lambda: _noted(self._connection, name, sequence))

    async def flush(self) -> None:
        """Write what is noted. JournalError when that fails: it stays noted, and is tried again."""
        await asyncio.shield(self._spawn(self._flush()))

    async def close(self) -> None:
        """Write what is noted, and close the file."""
        try:
            await self.flush()
        except JournalError as error:
            logger.error("%s; some events will be delivered again after the next start", error)
        if self._timer is not None:
            self._timer.cancel()
        await self._run(self._connection.close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        with in_use(self._path):
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _soon(self, delay: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay, self._write_behind)

    def _write_behind(self) -> None:
        self._timer = None
        self._spawn(self._flush_or_retry())

    async def _flush_or_retry(self) -> None:
        with contextlib.suppress(Exception):  # said by _keep, and tried again
            await self._flush()

    async def _flush(self) -> None:
        async with self._writing:
            changes, self._changes = self._changes, Changes()
            if not changes:
                return
            try:
                await self._run(lambda: _write(self._connection, changes))
            except Exception as error:
                self._keep(changes, error)
                raise
            self._failing = False

    def _keep(self, changes: Changes, error: Exception) -> None:
        """Nothing is left out: a floor written without the retry that it passed would lose that event."""
        changes.update(self._changes)
        self._changes = changes
        if not self._failing:
            logger.error("%s; positions are kept in memory and tried again every second", error)
        self._failing = True
        self._soon(AGAIN)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


DELETE_WAITING = "delete from waiting where consumer = ? and sequence in (values {})"
DELETE_PARKED = "delete from parked where consumer = ? and sequence in (values {})"
PARKED = "select sequence, attempts, parked_at, reason from parked where consumer = ?"
WAITING = "select attempts, first_attempt_at, since, due, reason from waiting where consumer = ?"


def place(path: Path, names: Sequence[str], last: int) -> None:
    """Have these consumers start in a journal that ends at `last`, as `load` does, before anybody loads them.

    Nobody else has the file open. DataError when it is no use.
    """
    with starting(path), closing(open_writer(path, SCHEMA, "NORMAL")) as connection:
        for name in names:
            _place(connection, name, last)


def _place(db: sqlite3.Connection, name: str, last: int) -> int:
    found = db.execute("select floor from consumer where name = ?", (name,)).fetchone()
    floor: int = last if found is None else min(found[0], last)
    if found is None or found[0] > last:
        _start_at(db, name, floor)
    return floor


def _load(db: sqlite3.Connection, name: str, last: int) -> Saved:
    floor = _place(db, name, last)
    waiting = db.execute(
        "select sequence, attempts, first_attempt_at, since, due, reason from waiting where consumer = ?",
        (name,),
    )
    parked = db.execute("select sequence from parked where consumer = ?", (name,))
    return Saved(floor, {row[0]: Waiting(*row[1:]) for row in waiting}, [row[0] for row in parked])


def _noted(db: sqlite3.Connection, name: str, sequence: int) -> Waiting | Parked | None:
    if row := db.execute(f"{WAITING} and sequence = ?", (name, sequence)).fetchone():
        return Waiting(*row)
    row = db.execute(f"{PARKED} and sequence = ?", (name, sequence)).fetchone()
    return Parked(*row) if row else None


def _start_at(db: sqlite3.Connection, name: str, last: int) -> None:
    """With an fsync, unlike all else: a power cut must not move this start past mail that got its 250."""
    db.execute("pragma synchronous = full")
    with transaction(db):
        db.execute("replace into consumer values (?, ?)", (name, last))
        db.execute("delete from waiting where consumer = ? and sequence > ?", (name, last))
        db.execute("delete from parked where consumer = ? and sequence > ?", (name, last))
    db.execute("pragma synchronous = normal")


def _forget(db: sqlite3.Connection, name: str) -> None:
    with transaction(db):
        db.execute("delete from consumer where name = ?", (name,))
        db.execute("delete from waiting where consumer = ?", (name,))
        db.execute("delete from parked where consumer = ?", (name,))


def _write(db: sqlite3.Connection, changes: Changes) -> None:
    with transaction(db):
        execute_rows(db, "replace into consumer values {}", list(changes.floors.items()))
        for name, gone in _gone(changes.waiting).items():
            execute_rows(db, DELETE_WAITING, gone, name)
        execute_rows(db, "replace into waiting values {}", _rows(changes.waiting))
        for name, gone in _gone(changes.parked).items():
            execute_rows(db, DELETE_PARKED, gone, name)
        execute_rows(db, "replace into parked values {}", _rows(changes.parked))


def _gone(changes: Mapping[Key, msgspec.Struct | None]) -> dict[str, list[tuple[int]]]:
    """By consumer: that is how SQLite finds them by the primary key."""
    gone: dict[str, list[tuple[int]]] = {}
    for (name, sequence), state in changes.items():
        if state is None:
            gone.setdefault(name, []).append((sequence,))
    return gone


def _rows(changes: Mapping[Key, Waiting | Parked | None]) -> list[tuple[object, ...]]:
    """Parked starts with its sequence, which the key has already."""
    rows: list[tuple[object, ...]] = []
    for (name, sequence), state in changes.items():
        match state:
            case Waiting():
                rows.append((name, sequence, *msgspec.structs.astuple(state)))
            case Parked():
                rows.append((name, *msgspec.structs.astuple(state)))
    return rows
