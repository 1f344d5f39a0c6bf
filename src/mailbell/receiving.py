"""The receiving half: the I/O servers, and the writer of the journal that they hand mail to."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from mailbell import node
from mailbell.clock import Clock
from mailbell.errors import ListenError
from mailbell.journal.folder import DataFolder
from mailbell.journal.writer import Writer
from mailbell.login.users import Authenticator, Users
from mailbell.reception import Figures, IoServerStatus, Session
from mailbell.server.ioserver import IoServer, hostname
from mailbell.server.memory import Budget
from mailbell.server.tls import TlsContext, certificate_of
from mailbell.server.transcript import Transcripts
from mailbell.settings import ChaosRule, ChaosSettings, IoServerSettings, ServiceSettings

if TYPE_CHECKING:
    from mailbell.journal.publisher import Publisher

Take = Callable[[str, int], Sequence[socket.socket]]

logger = logging.getLogger("mailbell")

STOP = 5.0
"""Seconds that messages under way have to finish on stop."""


class Receiving:
    """See `mailbell.reception.Reception`. `open`, then `listen`; at the end `stop`, then `close`."""

    def __init__(self, settings: ServiceSettings, folder: DataFolder, clock: Clock) -> None:
        self._settings = settings
        self._folder = folder
        self._clock = clock
        self.transcripts = Transcripts(clock)
        self._budget = Budget(settings.memory)
        self._listening = AsyncExitStack()
        self._active = settings.journal.engine == "sqlite"  # on its own a node is always the active one
        self._changing = asyncio.Lock()
        self.servers: dict[str, IoServer] = {}
        self.writer: Writer | Publisher

    async def open(self) -> None:
        """Open the journal for writing; StartupError when it is no use."""
        self.writer = await node.open_receiving(self._settings, self._folder, self._clock)

    async def listen(self, take: Take = lambda _id, _port: ()) -> None:
        """Take mail; ListenError, with nothing left open, when a port can't be had.

        `take` gives the sockets that were handed over for an I/O server, if any were.
        """
        async with self._changing, AsyncExitStack() as stack:
            for id_, settings in self._settings.ioservers.items():
                server = self.servers[id_] = self._make_server(id_, settings)
                stack.push_async_callback(server.stop, STOP)
                if self._active or not settings.shutdown_when_inactive:
                    await server.start(take(id_, settings.port))
            self._listening = stack.pop_all()

    def use(self, settings: ServiceSettings) -> None:
        """Go on with what of these settings may change while it listens."""
        for id_, each in settings.ioservers.items():
            if id_ in self.servers:
                self.servers[id_].use(each)

    async def stop(self) -> None:
        """Take no more mail; what is under way may finish."""
        await self._listening.aclose()

    async def close(self) -> None:
        """Release the journal."""
        await self.writer.close()

    def _make_server(self, id_: str, settings: IoServerSettings) -> IoServer:
        users = None if settings.auth != "required" or settings.users is None else Users(settings.users)
        return IoServer(
            id_,
            settings,
            self.writer,
            self.transcripts,
            self._clock,
            budget=self._budget,
            tls=None if settings.tls == "off" else self._tls(settings),
            authenticator=None if users is None else Authenticator(users, self._clock),
        )

    def _tls(self, settings: IoServerSettings) -> TlsContext:
        certificate = certificate_of(settings, self._folder.path, hostname(settings), self._clock)
        return TlsContext(certificate, settings.tls_min)

    # Questions and wishes of the other half.

    async def ha_active(self, active: bool) -> None:
        """Open the I/O servers with `shutdown_when_inactive`, or close them."""
        async with self._changing:
            self._active = active
            for server in self.servers.values():
                if server.settings.shutdown_when_inactive and server.listens is not active:
                    await (self._open(server) if active else self._shut(server))

    async def _open(self, server: IoServer) -> None:
        try:
            await server.start()
        except ListenError as error:  # the others listen, and this one is tried when we are active again
            logger.error("%s", error)
        else:
            logger.info("I/O server %s: SMTP on %s", server.id, ", ".join(server.addresses))

    async def _shut(self, server: IoServer) -> None:
        await server.stop(STOP)
        logger.info("I/O server %s: closed, another node is active", server.id)

    async def ioservers(self) -> Sequence[IoServerStatus]:
        """How each I/O server is doing."""
        return [
            IoServerStatus(
                id=each.id,
                listening=each.addresses,
                port=each.port,
                slots=each.slots.limit,
                served=each.slots.taken,
                waiting=each.slots.waiting,
                counts=self.transcripts.counts[each.id],
            )
            for each in self.servers.values()
        ]

    async def figures(self) -> Figures:
        """What there is to measure of the process."""
        return Figures(process=os.getpid(), appends=self.writer.appends)

    async def trouble(self) -> str | None:
        """Why no mail is taken at present; None: it is."""
        trouble = self.writer.trouble
        return None if trouble is None else str(trouble)

    async def sessions(self, limit: int, *, failed: bool) -> Sequence[Session]:
        """The last connections, newest first."""
        found = (each for each in self.transcripts if each.failed or not failed)
        return [each.session(whole=False) for each in islice(found, limit)]

    async def session(self, number: int) -> Session | None:
        """One with its lines, if it is still kept."""
        found = self.transcripts.get(number)
        return None if found is None else found.session(whole=True)

    async def refused(self) -> list[int]:
        """Connections that brought no mail, in each minute of the last hour."""
        return self.transcripts.refused.last_hour(self._clock.monotonic())

    async def chaos(self) -> ChaosSettings:
        """The failures on purpose at present."""
        return next((each.chaos.settings for each in self.servers.values()), ChaosSettings())

    async def set_chaos(self, rules: dict[str, ChaosRule]) -> None:
        """Change these of them, on every I/O server."""
        for each in self.servers.values():
            each.chaos.settings = msgspec.structs.replace(each.chaos.settings, **rules)
