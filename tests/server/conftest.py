"""An I/O server on a free port of the loopback, over a real journal, and clients of many kinds."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import pytest

from mailbell.clock import SystemClock
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.login.users import Authenticator, Users
from mailbell.server.ioserver import IoServer
from mailbell.server.memory import Budget
from mailbell.server.tls import Certificate, SelfSigned, TlsContext
from mailbell.server.transcript import Transcript, Transcripts
from mailbell.settings import IoServerSettings, JournalSettings

PATIENCE = 20.0


class HandClock(SystemClock):
    """A clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Awaited(Transcripts):
    """Transcripts whose end can be waited for."""

    news = asyncio.Event()

    def end(self, transcript: Transcript, outcome: str) -> None:
        super().end(transcript, outcome)
        self.news.set()

    async def ended(self, count: int = 1) -> list[Transcript]:
        """Wait until so many connections have ended; the newest first."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self.news = asyncio.Event()
                over = [each for each in self if each.ended_at is not None]
                if len(over) >= count:
                    return over
                await self.news.wait()

    async def outcome(self, count: int = 1) -> str:
        """Wait until so many connections have ended; why the newest did."""
        return (await self.ended(count))[0].outcome


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

    async def talk(self, *lines: str) -> list[str]:
        """Take the greeting, then say each line; all the replies."""
        return [await self.answer(), *[await self.say(line) for line in lines]]

    def send(self, line: str | bytes) -> None:
        self.writer.write((line if isinstance(line, bytes) else line.encode()) + b"\r\n")

    async def mail(self, content: bytes = b"Subject: a\r\n\r\nb", to: str = "b@lan") -> str:
        """Send one mail; the reply to its final dot."""
        for line in ("MAIL FROM:<a@lan>", f"RCPT TO:<{to}>", "DATA"):
            await self.say(line)
        return await self.say(content + b"\r\n.")

    def reset(self) -> None:
        """Go without a word: RST instead of FIN."""
        self.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Serving(IoServer):
    """An I/O server for tests."""

    transcripts: Awaited


Serve = Callable[..., Awaitable[Serving]]
Connect = Callable[..., Awaitable[Client]]


async def no_nap(_: float) -> None:
    """Instead of the pause before an answer to somebody who guesses."""


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    with DataFolder(tmp_path / "data") as folder:
        journal = await SqliteJournal.open(folder, JournalSettings())
        yield journal
        await journal.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A self-signed certificate for `bell.lan`, made once."""
    return SelfSigned(tmp_path_factory.mktemp("certificate"), "bell.lan", SystemClock())


@pytest.fixture
async def serve(journal: SqliteJournal, clock: HandClock, certificate: Certificate) -> AsyncIterator[Serve]:
    """Call it with settings to start an I/O server; `tls` is off unless asked for."""
    async with AsyncExitStack() as stack:

        async def start(budget: int = 2**28, **settings: Any) -> Serving:
            defaults = {"listen": ("127.0.0.1",), "port": 0, "hostname": "bell.lan", "tls": "off"}
            wanted = IoServerSettings(**{**defaults, **settings})
            server = Serving(
                "smtp",
                wanted,
                journal,
                Awaited(clock),
                clock,
                budget=Budget(budget),
                tls=None if wanted.tls == "off" else TlsContext(certificate, wanted.tls_min),
                authenticator=Authenticator(Users(wanted.users), clock, no_nap) if wanted.users else None,
            )
            await server.start()
            stack.push_async_callback(server.stop, 0.5)
            return server

        yield start


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Call it with an I/O server, and perhaps an address of one's own, to be its client."""
    async with AsyncExitStack() as stack:

        async def open_one(server: IoServer, ip: str = "127.0.0.1", **options: Any) -> Client:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", server.port, local_addr=(ip, 0), limit=2**20, **options
            )
            stack.callback(writer.close)
            return Client(reader, writer)

        yield open_one


async def until(condition: Callable[[], object]) -> None:
    """Wait for what nothing tells of."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def trusting(maximum: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client's TLS context that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if maximum is not None:
        context.maximum_version = maximum
    return context
