"""An inbox over a real journal, and mail for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mailbell.clock import SystemClock
from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.inbox.index import Inbox
from mailbell.journal.sqlite import SqliteJournal
from mailbell.mail import Envelope, Mail, Source, new_id
from mailbell.settings import JournalSettings
from tests.journal.engines import SqliteEngine

NOW = 1_790_000_000_000


def mail(subject: str = "Motion", body: str = "Motion detected", *, raw: bytes = b"", at: int = NOW) -> Mail:
    """A mail of a camera, or one with these octets."""
    text = f"From: Gate <cam@cams.lan>\r\nTo: alarm@house.lan\r\nSubject: {subject}\r\n\r\n{body}\r\n"
    return Mail(
        new_id(at), at, "smtp", Source("192.0.2.1", 4000), Envelope("cam@cams.lan", ("alarm@house.lan",)),
        raw or text.encode(),
    )  # fmt: skip


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop and the threads go on until this holds."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  what threads do has no event to wait for
            await asyncio.sleep(0.001)


class House:
    """A data folder with a journal, and an inbox when one was opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = SqliteEngine(path, JournalSettings())
        self.journal: SqliteJournal
        self.converted = 0

    @property
    def index(self) -> Path:
        return self.path / "index.db"

    async def item(self, sequence: int) -> Converted:
        self.converted += 1
        return convert(await self.journal.read(sequence), ConvertOptions())

    async def rest(self, began: float) -> None:
        assert began

    @asynccontextmanager
    async def inbox(self) -> AsyncIterator[Inbox]:
        """Run an inbox; comes back once it answers."""
        async with self.engine.opened() as self.journal:
            consumer = await self.journal.consumer("inbox")
            inbox = Inbox(self.index, self.journal, consumer, self.item, self.rest, SystemClock())
            running = asyncio.create_task(inbox.run())
            await until(lambda: inbox.ready)
            try:
                yield inbox
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running
                await inbox.close()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)
