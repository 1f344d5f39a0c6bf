"""The writing half of the embedded engine: mail goes in, durable when the answer comes.

```
append ─▶ queue ─▶ one durable transaction for all that wait ─▶ sequences; `stored` is told
```
Where a commit is done. Handing one to a thread and back costs some 700 µs of processor time under load, for
the interpreter's lock changes hands at every step of it; the commit itself costs 150, and on a good disk the
loop waits for less than a tenth of a millisecond. So as long as commits are quick they are done on the loop,
where all who wait, wait for just that. A disk that is slow, or may be asleep, is left to the thread.

What counts is the average: one commit that is slow among many says little of the next. And one in the thread
seems slower than it is, for at its end it waits for the interpreter's lock, of which a busy loop may not let
go for 5 ms; if each of these counted, a flood would stay in the thread, where it costs most.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeVar

from mailbell.clock import Clock, SystemClock
from mailbell.errors import JournalError, JournalUnavailable
from mailbell.histogram import Histogram
from mailbell.journal.files import in_use
from mailbell.journal.folder import DataFolder
from mailbell.journal.health import Health, room
from mailbell.journal.mails import MailWriter, Row, encode
from mailbell.mail import Mail

FILE = "journal.db"

GROUP = 128
GROUP_OCTETS = 16 * 2**20
"""The most of one commit: of rows, what goes into one statement (files.MAX_VALUES)."""

GATHER = 16
"""Turns of the loop before a commit, for mails that are just coming in to join it; an idle one takes 1 µs."""

QUICK = 0.002
"""Seconds that commits may take on the loop, on average."""

USUAL = 32
"""How many commits make up the average, about."""

AWAKE = 1.0
"""Seconds after a commit for which the disk is surely not asleep."""

CHECKPOINT = 16 * 2**20
"""Octets written to the WAL between two checkpoints."""

PAGES = 3 * 16 * 2**10
"""Octets that a commit writes besides the mail, about."""

T = TypeVar("T")
Stored = Callable[[int], None]
"""Called after each commit with the newest sequence."""

logger = logging.getLogger("mailbell.journal")


class Writing(Protocol):
    """The writing half as the reading half sees it: here, or in another process."""

    @property
    def last_sequence(self) -> int:
        """The sequence of the newest mail; 0 when there has been none."""
        ...

    @property
    def trouble(self) -> JournalError | None:
        """What an append would raise at this moment, where that is known."""
        ...

    def append(self, mail: Mail) -> asyncio.Future[int]:
        """Store the mail; its sequence once it is on stable storage. See Journal.append."""
        ...

    async def remove(self, sequences: Sequence[int]) -> None:
        """Remove these mails; JournalUnavailable."""
        ...

    async def shrink(self) -> bool:
        """Give some free pages back to the disk; False when few enough are left."""
        ...

    async def close(self) -> None:
        """Finish what is queued, release the file."""
        ...


class Append(NamedTuple):
    """A mail that waits for its commit, since this second of the clock."""

    since: float
    octets: int
    row: Row
    answer: asyncio.Future[int]


class Tempo:
    """Whether the next commit may be done on the loop."""

    def __init__(self) -> None:
        """The disk may be asleep."""
        self._last = float("-inf")
        self._usual = 0.0

    def quick(self, now: float) -> bool:
        """Is the disk awake, and is it quick as a rule?"""
        return self._usual <= QUICK and now < self._last + AWAKE

    def took(self, seconds: float, now: float) -> None:
        """Hear how long a commit has taken, that ended now."""
        self._last = now
        self._usual += (seconds - self._usual) / USUAL


class Writer:
    """See `Writing`. There is one for a data folder, and nobody else writes journal.db."""

    def __init__(self, folder: DataFolder, file: MailWriter, clock: Clock) -> None:
        """For `open`."""
        self._file = file
        self._clock = clock
        self._last = file.last
        self._health = Health(room(folder), clock)
        self._tempo = Tempo()
        self._thread = ThreadPoolExecutor(1, "journal-writer")
        self._loop = asyncio.get_running_loop()  # to ask for it each time is a system call
        self._writing = asyncio.Lock()
        self._queue: deque[Append] = deque()
        self._committing: asyncio.Task[None] | None = None
        self._since_checkpoint = 0
        self._closed = False
        self.appends = Histogram()
        """How long mails took from append to commit."""
        self.stored: Stored = lambda _: None

    @classmethod
    async def open(cls, folder: DataFolder, clock: Clock | None = None) -> "Writer":
        """Open the file in the folder, which stays its owner's to close. DataError when it is no use."""
        file = await asyncio.to_thread(MailWriter, folder.path / FILE)
        return cls(folder, file, clock or SystemClock())

    def __repr__(self) -> str:
        return f"<Writer {self._file.path} at {self._last}>"

    @property
    def last_sequence(self) -> int:
        """The sequence of the newest mail; 0 when there has been none."""
        return self._last

    @property
    def trouble(self) -> JournalError | None:
        """What an append would raise at this moment, where that is known."""
        return self._health.trouble

    def append(self, mail: Mail) -> asyncio.Future[int]:
        """Store the mail; its sequence once it is on stable storage."""
        answer: asyncio.Future[int] = self._loop.create_future()
        now = self._clock.monotonic()
        try:
            if self._closed:
                raise JournalUnavailable("the journal is closed")
            row = encode(mail)
        except ValueError as error:
            answer.set_exception(JournalUnavailable(f"mail {mail.id} can't be stored: {error}"))
        except JournalUnavailable as error:
            answer.set_exception(error)
        else:
            self._queue.append(Append(now, len(mail.raw), row, answer))
            if self._committing is None:
                self._committing = self._loop.create_task(self._commit_all())
        return answer

    async def remove(self, sequences: Sequence[int]) -> None:
        """Remove these mails."""
        await self._write(lambda: self._file.remove(sequences))

    async def shrink(self) -> bool:
        """Give some free pages back to the disk; False when few enough are left."""
        return await self._write(self._file.shrink)

    async def close(self) -> None:
        """Finish what is queued, release the file."""
        if self._closed:
            return
        self._closed = True
        if self._committing is not None:
            await self._committing
        await self._write(self._file.close)
        self._thread.shutdown()

    async def _commit_all(self) -> None:
        """Commit group after group until nothing waits."""
        while self._queue:
            for _ in range(GATHER):
                await asyncio.sleep(0)
            await self._commit(self._next_group())
            if self._since_checkpoint > CHECKPOINT:
                await self._checkpoint()
        self._committing = None

    def _next_group(self) -> list[Append]:
        group: list[Append] = []
        octets = 0
        while self._queue and len(group) < GROUP and octets < GROUP_OCTETS:
            group.append(self._queue.popleft())
            octets += group[-1].octets
        self._since_checkpoint += octets + PAGES
        return group

    async def _commit(self, group: Sequence[Append]) -> None:
        first, rows = self._last + 1, [each.row for each in group]
        try:
            if self._tempo.quick(self._clock.monotonic()) and not self._writing.locked():
                with in_use(self._file.path):
                    self._insert(first, rows)
            else:
                await self._write(lambda: self._insert(first, rows))
        except Exception as error:  # noqa: BLE001  whatever it is, those who wait have to hear of it
            self._refuse(group, error)
        else:
            self._health.worked()
            self._last += len(group)
            self._accept(group, first)

    def _insert(self, first: int, rows: Sequence[Row]) -> None:
        began = self._clock.monotonic()
        try:
            self._file.insert(first, rows)
        finally:
            now = self._clock.monotonic()
            self._tempo.took(now - began, now)

    def _accept(self, group: Sequence[Append], first: int) -> None:
        now, took = self._clock.monotonic(), self.appends.add
        for sequence, each in enumerate(group, first):
            took(now - each.since)
            if not each.answer.done():  # cancelled: the client has gone, its mail stays
                each.answer.set_result(sequence)
        self.stored(self._last)

    def _refuse(self, group: Sequence[Append], error: Exception) -> None:
        if isinstance(error, JournalError):
            known = error
        else:
            logger.error("a bug in the journal", exc_info=error)
            known = JournalUnavailable(f"{FILE}: {error!r}")
        self._health.failed(known)
        for each in group:
            if not each.answer.done():
                each.answer.set_exception(type(known)(*known.args))

    async def _checkpoint(self) -> None:
        """In the thread: it may take long. Without it the WAL would grow; commits wait for it."""
        self._since_checkpoint = 0
        try:
            await self._write(self._file.checkpoint)
        except JournalError as error:
            logger.warning("%s; the file is brought up to date later", error)

    async def _write(self, work: Callable[[], T]) -> T:
        """Do this in the thread, alone."""

        def explained() -> T:
            with in_use(self._file.path):
                return work()

        async with self._writing:
            return await self._loop.run_in_executor(self._thread, explained)
