"""The embedded engine: two SQLite files in the data folder, state on the loop, blocking calls in threads.

```
append ─▶ Writer, here or in another process ─▶ consumers wake
read ─▶ recent mail, else reader thread
ack, retry, park ─▶ Positions: written behind by a thread of its own
```
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from mailbell.clock import Clock, SystemClock
from mailbell.errors import JournalError, JournalUnavailable
from mailbell.journal.consumers import SqliteConsumer
from mailbell.journal.files import in_use
from mailbell.journal.folder import DataFolder
from mailbell.journal.mails import MailReader
from mailbell.journal.positions import DELIVERY, Positions
from mailbell.journal.recent import Recent
from mailbell.journal.retention import batches, spent
from mailbell.journal.writer import FILE, Writer, Writing
from mailbell.mail import Mail
from mailbell.settings import JournalSettings

RECENT_OCTETS = 32 * 2**20
AT_HAND = 1000
"""Mails back from the newest that are surely in the system's memory: reading them is no waiting."""

WINDOW = 256

T = TypeVar("T")

logger = logging.getLogger("mailbell.journal")


class SqliteJournal:
    """The journal of one box; see `mailbell.journal.base.Journal`."""

    def __init__(
        self,
        settings: JournalSettings,
        clock: Clock,
        writing: Writing,
        file: MailReader,
        positions: Positions,
    ) -> None:
        """For `open` and `beside`."""
        self._settings = settings
        self._clock = clock
        self._writing = writing
        self._file = file
        self._near = MailReader(file.path)
        self._positions = positions
        self._last = writing.last_sequence
        self._consumers: dict[str, SqliteConsumer] = {}
        self._recent = Recent(RECENT_OCTETS)
        self._thread = ThreadPoolExecutor(1, "journal-reader")
        self._reading = asyncio.Lock()
        self._closed = False
        self.on_broken: Callable[[JournalUnavailable], None] = lambda _: None
        """Never called: a file of our own is not exchanged under us."""

    @classmethod
    async def open(cls, folder: DataFolder, settings: JournalSettings, clock: Clock | None = None) -> Self:
        """Open the files of the folder, which stays its owner's to close. DataError when they are no use."""
        clock = clock or SystemClock()
        writer = await Writer.open(folder, clock)
        try:
            journal = await cls.beside(writer, folder.path, settings, clock)
        except BaseException:
            await writer.close()
            raise
        writer.stored = journal.stored_up_to
        return journal

    @classmethod
    async def beside(cls, writing: Writing, folder: Path, settings: JournalSettings, clock: Clock) -> Self:
        """Open what is read and what is delivered, beside the writing half; DataError.

        The writing half is to tell `stored_up_to`, and is closed with the journal.
        """
        file = await asyncio.to_thread(MailReader, folder / FILE)
        try:
            positions = await asyncio.to_thread(Positions, folder / DELIVERY)
        except BaseException:
            file.close()
            raise
        return cls(settings, clock, writing, file, positions)

    def __repr__(self) -> str:
        return f"<SqliteJournal {self._file.path} at {self._last}>"

    @property
    def last_sequence(self) -> int:
        """The sequence of the newest mail; 0 when there has been none."""
        return self._last

    @property
    def trouble(self) -> JournalError | None:
        """What an append would raise at this moment, where that is known."""
        return self._writing.trouble

    def append(self, mail: Mail) -> asyncio.Future[int]:
        """Store the mail; its sequence once it is on stable storage."""
        return self._writing.append(mail)

    def stored_up_to(self, sequence: int) -> None:
        """Hear of the newest mail that is on stable storage."""
        self._last = sequence
        for consumer in self._consumers.values():
            consumer.wake()

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
                await self._writing.remove(batch)
                self._recent.drop(batch)
                removed += len(batch)
            after = window[-1].sequence
        while await self._writing.shrink():
            pass
        return removed

    async def close(self) -> None:
        """Finish what is queued, take claims back, write positions down, release the files."""
        if self._closed:
            return
        self._closed = True
        for consumer in self._consumers.values():
            consumer.close()
        await self._positions.close()
        self._near.close()
        await self._run(self._file.close)
        self._thread.shutdown()
        await self._writing.close()

    async def _held(self) -> set[int]:
        """What consumers that are served at present still need below their positions."""
        held: set[int] = set()
        for name, consumer in list(self._consumers.items()):
            held.update(consumer.waiting)
            held.update(each.sequence for each in await self._positions.parked(name))
        return held

    async def _load(self, sequence: int) -> Mail:
        """On the loop where that is quick: to hand it to a thread and back costs more than to read it."""
        if sequence > self._last - AT_HAND:
            with in_use(self._file.path):
                found = self._near.read(sequence)
        else:
            found = await self._read(self._file.read, sequence)
        for each, mail in found:
            self._recent.add(each, mail)
        return found[0][1]

    async def _read(self, work: Callable[..., T], *args: object) -> T:
        self._check_open()
        return await self._run(work, *args)

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        with in_use(self._file.path):
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    def _check_open(self) -> None:
        if self._closed:
            raise JournalUnavailable("the journal is closed")
