"""The inbox: a durable consumer of the journal that keeps the index, and answers from it.

```
consumer "inbox" ─▶ convert ─▶ project ─▶ writer thread: a batch a transaction ─▶ ack
questions ─▶ reader threads: one for lists, one for searches, so that a slow one delays no other
```
The index knows its own position and takes every sequence once, in order; repeats are harmless. What lies
between it and the consumer's position (a new or damaged index, a power cut) is read from the journal first.
Rebuilding so brings back every mail that the journal has, unread and with its own tags only: what users did
with them stands in the index alone.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import methodcaller
from pathlib import Path
from typing import Any, TypeVar

from mailbell.clock import Clock
from mailbell.errors import DataError, InboxUnavailable, MailGone
from mailbell.event.convert import Converted
from mailbell.inbox.projection import Row, clean_tag, project
from mailbell.inbox.store import IndexFile, IndexReader, create, exchange, is_damage, remove
from mailbell.journal.base import Consumer, Journal
from mailbell.journal.files import explain
from mailbell.mailbox import (
    Arrived,
    Change,
    Counts,
    Deleted,
    Entry,
    Page,
    Pruned,
    Search,
    Truncated,
    Updated,
    Which,
)

BATCH = 100
"""Mails in a transaction: from here on more make it hardly faster."""

WINDOW = 4096
NEAR = 1000
"""A question waits for an index that is this close behind the journal, since it soon knows all; else not."""

PATIENCE = 0.5
OPENING = 5.0
"""Seconds for which a question waits for that, and for a file that is being opened."""

PROGRESS = 5.0
AGAIN = 5.0
"""Seconds between two lines about a rebuild, and until what has failed is tried again."""

T = TypeVar("T")
logger = logging.getLogger("mailbell.inbox")


class Inbox:
    """See `mailbell.mailbox.Mailbox`."""

    def __init__(
        self,
        path: Path,
        journal: Journal,
        consumer: Consumer,
        items: Callable[[int], Awaitable[Converted]],
        rest: Callable[[float], Awaitable[None]],
        clock: Clock,
    ) -> None:
        """`items` converts the mail of a sequence; `rest` is told when indexing one began, and may pause."""
        self._path = path
        self._journal = journal
        self._consumer = consumer
        self._items = items
        self._rest = rest
        self._clock = clock
        self._file: IndexFile | None = None
        self._readers: list[IndexReader] = []
        self._threads = [ThreadPoolExecutor(1, f"index-{name}") for name in ("writer", "lists", "searches")]
        self._open = asyncio.Event()
        self._moved = asyncio.Event()
        self._failed = asyncio.Event()
        self._damaged = False
        self._position = 0
        self._arrived = self._arrived_octets = self._deleted = 0
        self._listeners: set[Callable[[Change], None]] = set()
        self.ready = False

    def __repr__(self) -> str:
        return f"<Inbox {self._path} at {self._position}>"

    async def run(self) -> None:
        """Keep the index, for ever, whatever becomes of its file. To stop: cancel, then `close`."""
        while True:
            try:
                await self._open_files()
                await _until(self._failed, self._keep())
            except InboxUnavailable as error:
                logger.error("%s; mail is taken and delivered all the same", error)
                await asyncio.sleep(AGAIN)

    async def _keep(self) -> None:
        await self._check_origin()
        await self._catch_up()
        self.ready = True
        while True:
            claims = await self._consumer.fetch(BATCH)
            try:
                await self._index([claim.sequence for claim in claims])
            except BaseException:
                for claim in claims:
                    self._consumer.release(claim)
                raise
            for claim in claims:
                self._consumer.ack(claim)

    async def close(self) -> None:
        """Release the file."""
        self.ready = False
        await self._close_files()
        for thread in self._threads:
            thread.shutdown()

    # What is asked.

    async def counts(self) -> Counts:
        """How many there are."""
        figures = await self._read(IndexReader.figures)
        return Counts(*figures, self._arrived, self._arrived_octets, self._deleted)

    async def tags(self) -> list[str]:
        """All tags in use, in order."""
        return await self._read(IndexReader.tags)

    async def tag_counts(self) -> dict[str, int]:
        """The tags, and how many mails have each."""
        return await self._read(IndexReader.tag_counts)

    async def page(
        self, search: Search | None = None, *, start: int = 0, limit: int = 0, before: int = 0
    ) -> Page:
        """A page of the list, or of what a query finds."""
        return await self._read(lambda reader: reader.page(search, start, limit, before), search is not None)

    async def find(self, id_: str) -> Entry | None:
        """The mail with this ID."""
        found = await self._read(lambda reader: reader.find([id_]))
        return found[0] if found else None

    # What is done.

    async def sequence_of(self, id_: str) -> int | None:
        """The sequence of the event with this ID, if it is here."""
        found = await self.find(id_)
        return None if found is None else found.sequence

    async def set_read(self, which: Which, read: bool) -> None:
        """Mark as read or unread."""
        await self._caught_up()
        changed = await self._write(lambda file: file.set_read(which, read))
        if which is None or len(changed) > BATCH:
            self._publish(Pruned())
            return
        for id_ in changed:
            self._publish(Updated(id_, read=read))

    async def delete(self, which: Which) -> None:
        """Take out of the inbox."""
        if which is None:
            await self._empty()
            return
        await self._caught_up()
        while gone := await self._write(methodcaller("delete", which)):
            self._deleted += len(gone)
            for id_ in gone:
                self._publish(Deleted(id_))
            if not isinstance(which, Search):  # a query finds a portion at a time
                break
        await self._write(IndexFile.shrink)

    async def set_tags(self, ids: Sequence[str], tags: Sequence[str]) -> None:
        """Let these mails have these tags and no others."""
        clean = tuple(dict.fromkeys(tag for each in tags if (tag := clean_tag(each))))
        await self._caught_up()
        for id_ in await self._write(lambda file: file.set_tags(ids, clean)):
            self._publish(Updated(id_, tags=clean))

    async def rename_tag(self, old: str, new: str) -> None:
        """Give a tag another name."""
        if clean := clean_tag(new):
            await self._write(lambda file: file.rename_tag(old, clean))
            self._publish(Pruned())

    async def remove_tag(self, tag: str) -> None:
        """Take a tag off every mail."""
        await self._write(lambda file: file.remove_tag(tag))
        self._publish(Pruned())

    async def follow_retention(self) -> int:
        """Remove what the journal no longer has; how much. To be called after it was trimmed."""
        removed = after = 0
        while window := await self._read(methodcaller("sequences", after, WINDOW)):
            kept = await self._stored(after, window[-1])
            gone = [each for each in window if each not in kept]
            removed += await self._write(methodcaller("drop", gone))
            after = window[-1]
        if removed:
            await self._write(IndexFile.shrink)
            self._publish(Pruned())
        return removed

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener` for every change from now on, until what is returned is called."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    # Keeping the index.

    async def _check_origin(self) -> None:
        """An index of another journal (one of the two was put back from a backup) is of no use."""
        newest = await self._run(1, lambda: self._readers[0].newest())
        foreign = self._position > self._journal.last_sequence
        if newest and not foreign:
            try:
                foreign = (await self._journal.read(newest[0])).id != newest[1]
            except MailGone:
                foreign = False  # retention was quicker
        if foreign:
            logger.warning("%s belongs to another journal; it is made anew", self._path)
            await self._replace(lambda: 0)

    async def _catch_up(self) -> None:
        """Index what the consumer has passed and the index does not know."""
        until = self._consumer.position
        first, said = self._position, self._clock.monotonic()
        while self._position < until:
            found = await self._journal.stored(self._position, until, BATCH)
            await self._index(found or [until])
            if self._clock.monotonic() >= said + PROGRESS:
                said = self._clock.monotonic()
                share = (self._position - first) / (until - first)
                logger.info("the inbox's index is being made: %d %%", 100 * share)
        if until - first > WINDOW:
            logger.info("the inbox's index is complete, %d mails were looked at", until - first)

    async def _index(self, sequences: Sequence[int]) -> None:
        """Take these into the index; those that it knows are left out."""
        found = [await self._row(sequence) for sequence in sequences if sequence > self._position]
        rows = [row for row in found if row is not None]
        await self._add(rows, sequences[-1])
        if self.ready:
            self._arrived += len(rows)
            self._arrived_octets += sum(row.summary.size for row in rows)
        for row in rows if self._listeners else ():
            self._publish(Arrived(Entry(row.sequence, row.summary, False, row.tags)))

    async def _row(self, sequence: int) -> Row | None:
        began = self._clock.monotonic()
        try:
            item = await self._items(sequence)
        except MailGone:
            return None
        row = project(sequence, item)
        await self._rest(began)
        await asyncio.sleep(0)  # a hundred at a time would hold the loop up
        return row

    async def _add(self, rows: Sequence[Row], position: int) -> None:
        """Write, as soon as that can be; only a file that is no use ends it."""
        while position > self._position:
            await self._open.wait()
            new = [row for row in rows if row.sequence > self._position]  # it may have been emptied meanwhile
            try:
                await self._write(methodcaller("add", new, position))
            except InboxUnavailable as error:
                if self._failed.is_set():
                    raise
                logger.error("%s; mail is taken and delivered all the same", error)
                await asyncio.sleep(AGAIN)
            else:
                self._moved_to(position)

    def _moved_to(self, position: int) -> None:
        self._position = max(self._position, position)
        self._moved.set()
        self._moved = asyncio.Event()

    async def _caught_up(self) -> None:
        """Let the index know what the journal knows at this moment, if that is soon."""
        target = self._journal.last_sequence
        await self._opened()
        if not 0 < target - self._position <= NEAR:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                while self._position < target:
                    await self._moved.wait()
        except TimeoutError:
            return  # under load: what is there already is the better answer

    def _publish(self, change: Change) -> None:
        for listener in list(self._listeners):
            listener(change)

    async def _stored(self, after: int, until: int) -> set[int]:
        """What the journal has of these sequences."""
        found: set[int] = set()
        while some := await self._journal.stored(after, until, WINDOW):
            found.update(some)
            after = some[-1]
        return found

    # The file.

    async def _open_files(self) -> None:
        await self._close_files()
        if self._damaged:
            await self._run(0, lambda: remove(self._path))
        self._damaged = False
        self._failed.clear()
        self._file = await self._run(0, lambda: IndexFile(self._path))
        if self._file.replaced:
            logger.warning("%s; the index is made anew", self._file.replaced)
        self._readers = [await self._run(number, lambda: IndexReader(self._path)) for number in (1, 2)]
        self._position = await self._run(0, self._file.position)
        self._open.set()

    async def _close_files(self) -> None:
        """The writing connection last: it takes what is in the WAL over into the file."""
        self._open.clear()
        file, self._file = self._file, None
        readers, self._readers = self._readers, []
        for number, reader in enumerate(readers, 1):
            await self._run(number, reader.close)
        if file is not None:
            await self._run(0, file.close)

    async def _empty(self) -> None:
        """Deleting a million rows takes minutes, a new file a moment."""
        counts = await self.counts()
        await self._replace(lambda: self._journal.last_sequence)
        self._deleted += counts.total
        self._publish(Truncated())

    async def _replace(self, position: Callable[[], int]) -> None:
        """Put an empty index in the place of this one, whole or not at all.

        It knows of all mail up to the position, which is asked for when nothing more is written: what the old
        index has beyond it would be lost.
        """
        await self._open.wait()
        self._open.clear()
        fresh = self._path.with_suffix(".new")
        try:
            at = position()
            await self._run(0, lambda: create(fresh, at))
            await self._close_files()
            old = await self._run(0, lambda: exchange(fresh, self._path))
            asyncio.get_running_loop().run_in_executor(None, os.close, old)
            await self._open_files()
        except BaseException:  # also a request that was cancelled; `run` opens what is there
            self._fail()
            raise
        self._moved_to(at)

    def _fail(self) -> None:
        self.ready = False
        self._failed.set()

    async def _read(self, work: Callable[[IndexReader], T], slow: bool = False) -> T:
        await self._caught_up()
        await self._opened()  # it may have been replaced meanwhile
        reader = self._readers[slow]
        return await self._run(1 + slow, lambda: work(reader))

    async def _write(self, work: Callable[[IndexFile], T]) -> T:
        await self._opened()
        file = self._file
        assert file is not None  # noqa: S101  open
        return await self._run(0, lambda: work(file))

    async def _opened(self) -> None:
        """Wait while the file is opened or replaced, which takes a moment."""
        try:
            async with asyncio.timeout(OPENING):
                await self._open.wait()
        except TimeoutError:
            raise InboxUnavailable("the inbox is being opened; try again in a moment") from None

    async def _run(self, thread: int, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads[thread], work)
        except sqlite3.Error as error:
            if is_damage(error):
                self._damaged = True
                self._fail()
                raise InboxUnavailable(f"{self._path} is damaged ({error}); it is made anew") from error
            raise InboxUnavailable(f"{self._path.name}: {explain(error, self._path)}") from error
        except OSError as error:
            raise InboxUnavailable(f"{self._path}: {error.strerror}") from error
        except DataError as error:
            raise InboxUnavailable(str(error)) from error


async def _until(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Work until the event is set."""
    working, waiting = asyncio.create_task(work), asyncio.create_task(event.wait())
    try:
        done, _ = await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.wait((working, waiting))
    if working in done:
        await working
