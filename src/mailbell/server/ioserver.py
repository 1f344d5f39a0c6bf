"""An I/O server: one port and everything behind it. startup, run, shutdown."""

import asyncio
import logging
import socket

from mailbell.clock import Clock
from mailbell.journal.base import Journal
from mailbell.server import listener
from mailbell.server.connection import Connection
from mailbell.server.slots import Slots
from mailbell.server.transcript import Transcripts
from mailbell.settings import IoServerSettings
from mailbell.smtp.session import SessionOptions

TICK = 1.0
"""Seconds between two looks at the clock for all connections: cheaper than a timer for each."""

logger = logging.getLogger("mailbell.smtp")


class IoServer:
    """Listens, serves at most `threads` clients at once, and hands their mail to the journal."""

    def __init__(
        self, id_: str, settings: IoServerSettings, journal: Journal, transcripts: Transcripts, clock: Clock
    ) -> None:
        self.id = id_
        self.settings = settings
        self.session_options = session_options(settings)
        self.journal = journal
        self.transcripts = transcripts
        self.clock = clock
        self.slots = Slots(settings.threads, settings.queue_length)
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._ticker: asyncio.Task[None] | None = None

    @property
    def addresses(self) -> list[str]:
        """Where it listens, for people."""
        return [listener.name(each) for server in self._servers for each in server.sockets]

    @property
    def port(self) -> int:
        """The port that it listens on; of use when the settings ask for any free one."""
        port: int = self._servers[0].sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Listen; ListenError when an address can't be had."""
        loop = asyncio.get_running_loop()
        for listening in listener.bind_all(self.id, self.settings.listen, self.settings.port):
            server = await loop.create_server(
                lambda: Connection(self), sock=listening, backlog=listener.BACKLOG
            )
            self._servers.append(server)
        self._ticker = loop.create_task(self._tick())

    async def stop(self, deadline: float) -> None:
        """Stop accepting, part with the idle, give messages under way `deadline` seconds, then cut."""
        for server in self._servers:
            server.close()
        if self._ticker is not None:
            self._ticker.cancel()
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline
        while self.connections and loop.time() < until:
            for connection in list(self.connections):
                connection.shutdown()
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()
        if self.tasks:  # mail handed to the journal is always awaited
            await asyncio.wait(self.tasks)
        self._servers.clear()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            now = self.clock.monotonic()
            for connection in list(self.connections):
                connection.tick(now)


def session_options(settings: IoServerSettings) -> SessionOptions:
    """The session's slice of the settings."""
    return SessionOptions(
        hostname=settings.hostname or socket.gethostname(),
        max_size=settings.max_size,
        max_recipients=settings.max_recipients,
        max_errors=settings.max_errors,
        max_command=settings.max_command,
    )
