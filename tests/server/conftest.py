"""An I/O server on a free port of the loopback, over a real journal."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from mailbell.clock import SystemClock
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.server.ioserver import IoServer
from mailbell.server.transcript import Transcripts
from mailbell.settings import IoServerSettings, JournalSettings


class HandClock(SystemClock):
    """A clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Client:
    """A client that speaks line by line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> str:
        """The next reply, all its lines; "" at the end."""
        lines = []
        while line := (await self.reader.readline()).decode():
            lines.append(line.rstrip())
            if line[3:4] == " ":
                break
        return "\n".join(lines)

    async def say(self, line: str | bytes) -> str:
        """Send a line, return the reply."""
        self.send(line)
        return await self.answer()

    def send(self, line: str | bytes) -> None:
        self.writer.write((line if isinstance(line, bytes) else line.encode()) + b"\r\n")

    async def mail(self, content: bytes = b"Subject: a\r\n\r\nb", to: str = "b@lan") -> str:
        """Send one mail; the reply to its final dot."""
        for line in ("MAIL FROM:<a@lan>", f"RCPT TO:<{to}>", "DATA"):
            await self.say(line)
        return await self.say(content + b"\r\n.")


Serve = Callable[..., Awaitable[IoServer]]
Connect = Callable[[IoServer], Awaitable[Client]]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    with DataFolder(tmp_path / "data") as folder:
        journal = await SqliteJournal.open(folder, JournalSettings())
        yield journal
        await journal.close()


@pytest.fixture
async def serve(journal: SqliteJournal, clock: HandClock) -> AsyncIterator[Serve]:
    """Call it with settings to start an I/O server."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> IoServer:
            wanted = IoServerSettings(
                **{"listen": ("127.0.0.1",), "port": 0, "hostname": "bell.lan", **settings}
            )
            server = IoServer("smtp", wanted, journal, Transcripts(clock), clock)
            await server.start()
            stack.push_async_callback(server.stop, 0.5)
            return server

        yield start


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Call it with an I/O server to be its client."""
    async with AsyncExitStack() as stack:

        async def open_one(server: IoServer) -> Client:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            stack.callback(writer.close)
            return Client(reader, writer)

        yield open_one
