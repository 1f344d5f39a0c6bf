"""The embedded engine: two SQLite files in the data folder, state on the loop, blocking calls in threads.

```
append ─▶ queue ─▶ writer thread: one durable transaction for all that wait ─▶ sequences; consumers wake
read ─▶ recent mail, else reader thread
ack, retry, park ─▶ Positions: written behind by a thread of its own
```
"""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import msgspec

from mailbell.clock import Clock, SystemClock
from mailbell.errors import JournalError, JournalFull, JournalUnavailable
from mailbell.journal.consumers import SqliteConsumer
from mailbell.journal.files import explain, is_full
from mailbell.journal.folder import DataFolder
from mailbell.journal.health import Health, room
from mailbell.journal.mails import MailFile, Row, encode
from mailbell.journal.positions import Positions
from mailbell.journal.recent import Recent
from mailbell.journal.retention import batches, spent
from mailbell.mail import Mail
from mailbell.settings import JournalSettings

GROUP = 128
GROUP_OCTETS = 16 * 2**20
"""The most of one commit: of rows, what goes into one statement (files.MAX_VALUES)."""

GATHER = 4
"""Turns of the loop before a commit, for mails that are just coming in to join it.

A commit costs the loop some 50 µs of handing over to the writer's thread and back; an idle turn 5 µs.
"""

RECENT_OCTETS = 32 * 2**20
WINDOW = 256

T = TypeVar("T")

logger = logging.getLogger("mailbell.journal")


class Append(NamedTuple):
    """A mail that waits for its commit."""

    mail: Mail
    row: Row
    answer: asyncio.Future[int]


class SqliteJournal:
    """The journal of one box; see `mailbell.journal.base.Journal`."""

    def __init__(
        self,
        folder: DataFolder,
        settings: JournalSettings,
        clock: Clock,
        file: MailFile,
        positions: Positions,
    ) -> None:
        """For `open`."""
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._file = file
        self._positions = positions
        self._last = file.last
        self._consumers: dict[str, SqliteConsumer] = {}
        self._recent = Recent(RECENT_OCTETS)
        self._health = Health(room(folder), clock)
        self._writer = ThreadPoolExecutor(1, "journal-writer")
        self._reader = ThreadPoolExecutor(1, "journal-reader")
        self._reading = asyncio.Lock()
        self._queue: deque[Append] = deque()
        self._committing: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(
        cls, folder: DataFolder, settings: JournalSettings, clock: Clock | None = None
    ) -> "SqliteJournal":
        """Open the files of the folder, which stays its owner's to close. DataError when they are no use."""
        file = await asyncio.to_thread(MailFile, folder.path / "journal.db")
        try:
            positions = await asyncio.to_thread(Positions, folder.path / "delivery.db")
        except BaseException:
            file.close()
            raise
        return cls(folder, settings, clock or SystemClock(), file, positions)

    def __repr__(self) -> str:
        return f"<SqliteJournal {self._folder.path} at {self._last}>"

    @property
    def last_sequence(self) -> int:
        """The sequence of the newest mail; 0 when there has been none."""
        return self._last

    @property
    def trouble(self) -> JournalError | None:
        """What an append would raise at this moment, where that is known."""
        return self._health.trouble

    async def append(self, mail: Mail) -> int:
        """Store the mail and return its sequence once it is on stable storage."""
        self._check_open()
        try:
            row = encode(mail)
        except ValueError as error:
            raise JournalUnavailable(f"mail {mail.id} can't be stored: {error}") from error
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append(Append(mail, row, answer))
        if self._committing is None:
            self._committing = asyncio.get_running_loop().create_task(self._commit_all())
        return await answer

    async def read(self, sequence: int) -> Mail:
        """Return the mail of this sequence, or raise MailGone."""
        self._check_open()
        mail = self._recent.get(sequence)
        if mail is not None:
            return mail
        async with self._reading:  # the first to miss reads ahead for those who wait here
            return self._recent.get(sequence) or await self._load(sequence)

    async def stored(self, after: int, until: int, limit: int) -> list[int]:
        """Return the first `limit` sequences with `after < sequence <= until` whose mail is here."""
        return [each.sequence for each in await self._read(self._file.oldest, after, until, limit)]

    async def consumer(self, name: str, *, own: bool = False) -> SqliteConsumer:
        """Return the durable consumer of this name."""
        self._check_open()
        if name not in self._consumers:
            saved = await self._positions.load(name, self._last)
            first = await self._read(self._file.first)
            if saved.floor < first - 1:
                logger.warning("%s: mail %d to %d was removed meanwhile", name, saved.floor + 1, first - 1)
                saved = msgspec.structs.replace(saved, floor=first - 1)
            consumer = SqliteConsumer(name, saved, lambda: self._last, self._positions, self._clock)
            self._consumers.setdefault(name, consumer)
        return self._consumers[name]

    async def dismiss(self, name: str) -> None:
        """Close a consumer; all it had is kept."""
        consumer = self._consumers.pop(name, None)
        if consumer is not None:
            consumer.close()
        await self._positions.flush()

    async def forget(self, name: str) -> None:
        """Remove a consumer and all it had."""
        consumer = self._consumers.pop(name, None)
        if consumer is not None:
            consumer.close()
        await self._positions.forget(name)

    async def trim(self) -> int:
        """Remove mail that is past the settings' age or size; return how much."""
        until = min([self._last - 1, *(consumer.position for consumer in self._consumers.values())])
        held = await self._held()
        now, removed, after = self._clock.time(), 0, 0
        while window := await self._read(self._file.oldest, after, until, WINDOW):
            past = spent(window, self._settings, now, await self._read(self._file.used))
            if not past:
                break
            for batch in batches([mail for mail in past if mail.sequence not in held]):
                await self._write(self._file.remove, batch)
                self._recent.drop(batch)
                removed += len(batch)
            after = window[-1].sequence
        while await self._write(self._file.shrink):
            pass
        return removed

    async def close(self) -> None:
        """Finish what is queued, take claims back, write positions down, release the files."""
        if self._closed:
            return
        self._closed = True
        if self._committing is not None:
            await self._committing
        for consumer in self._consumers.values():
            consumer.close()
        await self._positions.close()
        await asyncio.to_thread(self._reader.shutdown)
        await self._write(self._file.close)
        self._writer.shutdown()

    async def _commit_all(self) -> None:
        """Commit group after group until nothing waits."""
        while self._queue:
            for _ in range(GATHER):
                await asyncio.sleep(0)
            await self._commit(self._next_group())
        self._committing = None

    def _next_group(self) -> list[Append]:
        group: list[Append] = []
        octets = 0
        while self._queue and len(group) < GROUP and octets < GROUP_OCTETS:
            group.append(self._queue.popleft())
            octets += len(group[-1].mail.raw)
        return group

    async def _commit(self, group: Sequence[Append]) -> None:
        first = self._last + 1
        try:
            await self._write(self._file.insert, first, [each.row for each in group])
        except Exception as error:  # noqa: BLE001  whatever it is, those who wait have to hear of it
            self._refuse(group, error)
        else:
            self._health.worked()
            self._last += len(group)
            self._accept(group, first)

    def _accept(self, group: Sequence[Append], first: int) -> None:
        for sequence, each in enumerate(group, first):
            self._recent.add(sequence, each.mail)
            if not each.answer.done():  # cancelled: the client has gone, its mail stays
                each.answer.set_result(sequence)
        for consumer in self._consumers.values():
            consumer.wake()

    def _refuse(self, group: Sequence[Append], error: Exception) -> None:
        if isinstance(error, JournalError):
            known = error
        else:
            logger.error("a bug in the journal", exc_info=error)
            known = JournalUnavailable(f"journal.db: {error!r}")
        self._health.failed(known)
        for each in group:
            if not each.answer.done():
                each.answer.set_exception(type(known)(*known.args))

    async def _held(self) -> set[int]:
        """What consumers that are served at present still need below their positions."""
        held: set[int] = set()
        for name, consumer in list(self._consumers.items()):
            held.update(consumer.waiting)
            held.update(each.sequence for each in await self._positions.parked(name))
        return held

    async def _load(self, sequence: int) -> Mail:
        found = await self._read(self._file.read, sequence)
        for each, mail in found:
            self._recent.add(each, mail)
        return found[0][1]

    async def _read(self, work: Callable[..., T], *args: object) -> T:
        self._check_open()
        return await self._run(self._reader, work, *args)

    async def _write(self, work: Callable[..., T], *args: object) -> T:
        return await self._run(self._writer, work, *args)

    async def _run(self, thread: ThreadPoolExecutor, work: Callable[..., T], *args: object) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, work, *args)
        except sqlite3.Error as error:
            kind = JournalFull if is_full(error, self._file.path) else JournalUnavailable
            raise kind(f"journal.db: {explain(error, self._file.path)}") from error

    def _check_open(self) -> None:
        if self._closed:
            raise JournalUnavailable("the journal is closed")
