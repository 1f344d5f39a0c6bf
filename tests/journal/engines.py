"""The engines that the journal's tests run on, and what they need."""

import asyncio
import secrets
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

from mailbell.clock import Clock
from mailbell.journal.folder import DataFolder
from mailbell.journal.jetstream import JetStreamJournal, Term
from mailbell.journal.publisher import Publisher
from mailbell.journal.sqlite import SqliteJournal
from mailbell.journal.stream import connect
from mailbell.journal.writer import Writer
from mailbell.settings import Duration, JournalSettings, Size


class HandClock:
    """A clock whose hands are turned by hand."""

    def __init__(self) -> None:
        self.wall = 1_790_000_000.0
        self.steady = 1000.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.steady += seconds


class OwnedJournal(SqliteJournal):
    """A journal that lets go of its folder when it is closed, as the process would."""

    folder: DataFolder

    async def close(self) -> None:
        await super().close()
        self.folder.close()


class SqliteEngine:
    """See conformance.Engine."""

    quiet = 0.003

    def __init__(self, path: Path, settings: JournalSettings | None = None) -> None:
        self.path = path
        self.clock = HandClock()
        self.settings = settings or JournalSettings(max_age=Duration(86400), max_size=Size(0))

    async def open(self) -> SqliteJournal:
        folder = DataFolder(self.path)
        try:
            journal = await OwnedJournal.open(folder, self.settings, self.clock)
        except BaseException:
            folder.close()
            raise
        journal.folder = folder
        return journal

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[SqliteJournal]:
        journal = await self.open()
        try:
            yield journal
        finally:
            await journal.close()

    async def elapse(self, seconds: float) -> None:
        self.clock.turn(seconds)

    def set_clock_back(self, seconds: float) -> None:
        self.clock.wall -= seconds

    def copy(self, path: Path) -> "SqliteEngine":
        """What a kill at this moment would leave on the disk.

        `delivery.db` is copied first: as after a real kill, no position is newer than the mail.
        """
        path.mkdir()
        for name in ("delivery.db", "delivery.db-wal", "journal.db", "journal.db-wal"):
            if (self.path / name).exists():
                shutil.copyfile(self.path / name, path / name)
        left = SqliteEngine(path, self.settings)
        left.clock = self.clock
        return left


def writer(journal: SqliteJournal) -> Writer:
    """The writing half, which these tests have in their own process."""
    assert isinstance(journal._writing, Writer)
    return journal._writing


def connection(journal: SqliteJournal) -> sqlite3.Connection:
    """The one that writes mail."""
    return writer(journal)._file._connection


class WholeJournal(JetStreamJournal):
    """Both halves, each over a connection of its own; closed with it."""

    ends_with: AsyncExitStack

    @classmethod
    async def open(
        cls,
        settings: JournalSettings,
        clock: Clock,
        *,
        node: str = "node",
        lease: float = 10.0,
        term: Term = lambda: 1,
        patience: float = 3.0,
    ) -> Self:
        async with AsyncExitStack() as stack:
            publisher = await Publisher.open(settings, clock, patience)
            stack.push_async_callback(publisher.close)
            link = await connect("journal", settings, patience)
            stack.push_async_callback(link.stop)
            journal = await cls.beside(
                publisher, link, settings, clock, node=node, lease=lease, term=term, patience=patience
            )
            journal.ends_with = stack.pop_all()
        return journal

    async def close(self) -> None:
        await super().close()
        await self.ends_with.aclose()


class JetStreamEngine:
    """See conformance.Engine. Each has a stream of its own on the server."""

    quiet = 0.25

    def __init__(self, url: str, **settings: Any) -> None:
        self.clock = HandClock()
        self.url = url
        given: dict[str, Any] = {
            "engine": "jetstream",
            "url": (url,),
            "stream": f"T{secrets.token_hex(6)}",
            "replicas": 1,
            "synced": True,
            "max_age": Duration(86400),
            "max_size": Size(0),
        }
        self.settings = JournalSettings(**(given | settings))

    async def open(self, **how: Any) -> JetStreamJournal:
        return await WholeJournal.open(self.settings, self.clock, **how)

    @asynccontextmanager
    async def opened(self, **how: Any) -> AsyncIterator[JetStreamJournal]:
        journal = await self.open(**how)
        try:
            yield journal
        finally:
            await journal.close()

    async def elapse(self, seconds: float) -> None:
        """The server goes by a clock of its own: so what it has been told just now has to be there first."""
        await asyncio.sleep(0.1)
        self.clock.turn(seconds)

    def set_clock_back(self, seconds: float) -> None:
        self.clock.wall -= seconds
