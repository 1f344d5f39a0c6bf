"""Makes a message of each change in the inbox, once for all who listen; while nobody does, nothing."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from mailbell.errors import InboxUnavailable, JournalError
from mailbell.mailbox import Arrived, Change, Pruned
from mailbell.newest import Newest
from mailbell.web import shapes
from mailbell.web.ports import Mark, Parts

GATHER = 0.05
"""Seconds from one round to the next: under load, figures and marks go out once for many mails."""

MOST = 1000
"""Changes that wait for a round; what is beyond becomes one request to look again."""

REMEMBERED = 4096

logger = logging.getLogger("mailbell.web")

Listener = Callable[[str], None]
"""Takes a message; may not block."""


class Hub:
    """Listens to inbox and sinks, and tells its listeners."""

    def __init__(self, parts: Parts) -> None:
        self._mailbox = parts.mailbox
        self._journal = parts.journal
        self._deliveries = parts.deliveries
        self._item = parts.item
        self._version = parts.version
        self._listeners: set[Listener] = set()
        self._changes: deque[Change] = deque()
        self._stale: dict[int, None] = {}
        self._told: Newest[int, Mark] = Newest(REMEMBERED)
        self._arrived = 0
        self._news = asyncio.Event()
        self._stop: Callable[[], None] | None = None

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Tell this one everything while this is open."""
        self._listeners.add(listener)
        if self._stop is None:
            self._stop = self._start()
        try:
            yield
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._stop is not None:
                self._stop()
                self._stop = None

    def _start(self) -> Callable[[], None]:
        self._changes.clear()
        self._stale.clear()
        self._told.clear()
        self._arrived = self._journal.last_sequence
        leave = (self._mailbox.subscribe(self._note), self._deliveries.subscribe(self._note_mark))
        task = asyncio.create_task(self._run())

        def stop() -> None:
            for each in leave:
                each()
            task.cancel()

        return stop

    def _note(self, change: Change) -> None:
        if len(self._changes) >= MOST:
            self._changes.clear()
            change = Pruned()
        self._changes.append(change)
        self._news.set()

    def _note_mark(self, sequence: int) -> None:
        """What has not arrived in the inbox yet, will do so with the mark that it has then."""
        if sequence > self._arrived:
            return
        if len(self._stale) >= MOST:
            self._stale.clear()
            self._note(Pruned())
        self._stale[sequence] = None
        self._news.set()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._round()
            except Exception:  # a bug with one change must not leave all without the others
                logger.exception("those who listen were not told of everything")
                self._news.set()
            await asyncio.sleep(GATHER)

    async def _round(self) -> None:
        while self._changes:
            self._tell_change(self._changes.popleft())
        await self._tell_marks()
        await self._tell_stats()

    def _tell_change(self, change: Change) -> None:
        if isinstance(change, Arrived):
            self._arrived = max(self._arrived, change.entry.sequence)
        self._tell(shapes.change(change, self._marked))

    def _marked(self, sequence: int) -> Mark:
        """How it stands with an event, which is being told."""
        mark = self._told[sequence] = self._deliveries.mark(sequence)
        return mark

    async def _tell_marks(self) -> None:
        stale, self._stale = self._stale, {}
        for sequence in stale:
            before = self._told.get(sequence)
            if self._marked(sequence) == before:
                continue
            with suppress(JournalError):  # gone, or it can't be read: then nobody minds its mark
                id_ = (await self._item(sequence)).mail.id
                self._tell(shapes.Message("update", {"ID": id_, "Delivery": self._told[sequence]}))

    async def _tell_stats(self) -> None:
        with suppress(InboxUnavailable):  # the next round brings them
            counts = await self._mailbox.counts()
            data = {"Total": counts.total, "Unread": counts.unread, "Version": self._version}
            self._tell(shapes.Message("stats", data))

    def _tell(self, message: shapes.Message) -> None:
        text = msgspec.json.encode(message).decode()
        for listener in self._listeners:
            listener(text)
