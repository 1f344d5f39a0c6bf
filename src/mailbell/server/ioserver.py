"""An I/O server: one port and everything behind it. startup, run, shutdown."""

import asyncio
import logging
import secrets
import socket
import ssl
from collections.abc import Sequence
from operator import attrgetter

import msgspec

from mailbell.clock import Clock
from mailbell.errors import StartupError
from mailbell.journal.base import Appender
from mailbell.login.users import Authenticator
from mailbell.networks import Networks
from mailbell.server import listener, prelude, replies
from mailbell.server.access import Sources, plain
from mailbell.server.chaos import Chaos
from mailbell.server.client import Client
from mailbell.server.connection import Connection
from mailbell.server.memory import Budget
from mailbell.server.slots import Slots
from mailbell.server.tls import HANDSHAKE_TIMEOUT, TlsContext, explain
from mailbell.server.transcript import Transcripts
from mailbell.settings import IoServerSettings
from mailbell.smtp.replies import Reply
from mailbell.smtp.session import Session, SessionOptions

TICK = 1.0
"""Seconds between two looks at the clock for all connections: cheaper than a timer for each."""

LIVE = (
    "allow",
    "auth_plaintext",
    "bare_lf",
    "chaos",
    "charset",
    "data_timeout",
    "idle_timeout",
    "max_command",
    "max_errors",
    "max_per_source",
    "max_recipients",
    "max_size",
    "min_rate",
    "queue_timeout",
    "rawbody",
)
"""The settings that may change while it listens. They hold for connections that come after."""

logger = logging.getLogger("mailbell.smtp")


class IoServer:
    """Listens, serves at most `threads` clients at once, and hands their mail to the journal."""

    def __init__(
        self,
        id_: str,
        settings: IoServerSettings,
        journal: Appender,
        transcripts: Transcripts,
        clock: Clock,
        *,
        budget: Budget | None = None,
        tls: TlsContext | None = None,
        authenticator: Authenticator | None = None,
    ) -> None:
        """`tls` is needed unless the settings say off; `authenticator` where they say required."""
        if (settings.auth == "required") != (authenticator is not None):
            raise StartupError(f'ioservers.{id_}: auth = "required" and users go together')
        self.id = id_
        self.settings = settings
        self.session_options = session_options(settings, tls is not None)
        self.journal = journal
        self.transcripts = transcripts
        self.clock = clock
        self.budget = budget or Budget(settings.max_size * 4)
        self.tls = tls
        self.authenticator = authenticator
        self.chaos = Chaos(settings.chaos)
        self.slots = Slots(settings.threads, settings.queue_length)
        self.connections: set[Connection] = set()
        self._allowed = Networks(settings.allow)
        self._proxies = Networks(settings.proxies)
        self._sources = Sources(settings.max_per_source)
        self._speakers = prelude.Speakers()
        self._waiting: set[Client] = set()
        self._wanted = 0
        """Of those who waited at the last look at the clock, for how many nobody gives way yet."""
        self._admitting: set[asyncio.Task[None]] = set()
        self._listener: listener.Listener | None = None
        self._ticker: asyncio.Task[None] | None = None
        self.loop: asyncio.AbstractEventLoop

    def __repr__(self) -> str:
        return f"<IoServer {self.id} {self.slots.taken} served, {self.slots.waiting} waiting>"

    @property
    def addresses(self) -> list[str]:
        """Where it listens, for people."""
        return [listener.name(each) for each in self._listener.sockets] if self._listener else []

    @property
    def listens(self) -> bool:
        """Whether it is open."""
        return self._listener is not None

    @property
    def port(self) -> int:
        """The port that it listens on; the system's choice where the settings say 0."""
        if self._listener is None:
            return self.settings.port
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    def use(self, settings: IoServerSettings) -> None:
        """Go on with those of these settings that are LIVE."""
        live = {name: getattr(settings, name) for name in LIVE}
        self.settings = msgspec.structs.replace(self.settings, **live)
        self.session_options = session_options(self.settings, self.tls is not None)
        self.chaos = Chaos(self.settings.chaos)
        self._allowed = Networks(self.settings.allow)
        self._sources.limit = self.settings.max_per_source

    async def start(self, handed: Sequence[socket.socket] = ()) -> None:
        """Listen, on the sockets that were handed over where there are some. ListenError: no address."""
        sockets = list(handed) or listener.bind_all(self.id, self.settings.listen, self.settings.port)
        self.loop = asyncio.get_running_loop()  # to ask for it for each client is a system call
        self._listener = listener.Listener(sockets, self._arrived)
        self._ticker = asyncio.create_task(self._tick())

    async def stop(self, deadline: float) -> None:
        """Stop accepting, part with the idle, give messages under way `deadline` seconds, then cut."""
        listening, self._listener = self._listener, None
        if listening is not None:
            listening.close()
        if self._ticker is not None:
            self._ticker.cancel()
        for client in list(self._waiting):
            self._refuse(client, replies.STOPPING, "mailbell was stopped.")
        await self._empty(deadline)
        for task in self._admitting:
            task.cancel()
        for connection in list(self.connections):
            await connection.stored()  # what the journal has taken is answered
            connection.abort()
        await self._empty(1.0)

    async def _empty(self, deadline: float) -> None:
        """Part with all, as soon as no mail of theirs is under way; wait until they are gone."""
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline
        while (self.connections or self._admitting) and loop.time() < until:
            for connection in list(self.connections):
                connection.shutdown()
            await asyncio.sleep(0.01)

    def look_at_clock(self) -> None:
        """Part with those whose time is over."""
        now = self.clock.monotonic()
        for client in list(self._waiting):
            if now - client.arrived_at > self.settings.queue_timeout:
                self._refuse(client, replies.NO_SLOT, "No slot became free within queue_timeout.")
        self._wanted = self.slots.waiting - sum(each.leaves for each in self.connections)
        order = attrgetter("fruitless_since")  # who has brought no mail for longest gives way first
        for connection in sorted(self.connections, key=order) if self._wanted > 0 else list(self.connections):
            connection.tick(now)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.look_at_clock()
            if self.tls is not None:
                self.tls.follow()

    # What clients and connections call.

    @property
    def waiting_since(self) -> float | None:
        """Since when the next one waits for a slot; None: nobody does, or as many give way as do."""
        return self.slots.waiting_since if self._wanted > 0 else None

    def gives_way(self) -> None:
        """A slot is about to be free."""
        self._wanted -= 1

    def session_for(self, client: Client) -> Session:
        """A session with this I/O server's rules."""
        readable = self.authenticator is None or self.authenticator.readable
        return Session(
            self.session_options,
            client.transcript.record,
            challenge=self._challenge if readable else None,
            check_sender=self._check_sender,
            check_recipient=self._check_recipient,
        )

    def _challenge(self) -> bytes:
        """For CRAM-MD5, which needs readable passwords, or none at all."""
        return f"<{secrets.token_hex(12)}@{self.session_options.hostname}>".encode()

    def _check_sender(self, _address: str, _size: int) -> Reply | None:
        """What is known to fail later is refused now, before the client sends the message."""
        trouble = self.journal.trouble
        return self.chaos.sender() if trouble is None else replies.of(trouble)

    def _check_recipient(self, _address: str) -> Reply | None:
        return self.chaos.recipient()

    def spoke_tls(self, ip: str) -> None:
        """A ClientHello came after the greeting; the next connection of this source is waited for."""
        self._speakers.remember(ip, True)

    def ended(self, connection: Connection, outcome: str) -> None:
        """The connection is no more."""
        if connection in self.connections:
            self.connections.discard(connection)
            self.budget.release(connection)
            self.gone(connection.client, outcome)

    def gone(self, client: Client, outcome: str) -> None:
        """The client is no more; what it held is free."""
        self._waiting.discard(client)
        if client.counted:
            self._sources.leave(client.ip)
        if client.served:
            self.slots.leave()
        else:
            self.slots.give_up(client)
        self.transcripts.end(client.transcript, outcome)

    # From arrival to connection.

    def _arrived(self, connected: socket.socket, ip: str, port: int) -> None:
        client = Client(self, connected, plain(ip), port)
        if self._proxies.has(client.ip) or self._let_in(client):
            self._waiting.add(client)
            if not self.slots.enter(client):
                self._refuse(client, replies.NO_SLOT, "Every slot and the whole queue were taken.")

    def _let_in(self, client: Client) -> bool:
        """Refuse who may not connect."""
        if not self._allowed.has(client.ip):
            self._refuse(
                client,
                replies.NOT_ALLOWED,
                f"{client.ip} is in none of the networks of `allow`; add its own.",
            )
            return False
        client.counted = self._sources.enter(client.ip)
        if not client.counted:
            self._refuse(
                client, replies.TOO_MANY, f"{client.ip} had as many connections as max_per_source allows."
            )
        return client.counted

    def _refuse(self, client: Client, reply: Reply, outcome: str) -> None:
        """Say why, where the client would understand it."""
        if self.settings.tls == "implicit":
            client.drop(outcome)
        else:
            client.refuse(reply, outcome)

    def admit(self, client: Client) -> None:
        """A slot is free for this client."""
        self._waiting.discard(client)
        task = self.loop.create_task(self._admit(client))
        self._admitting.add(task)
        task.add_done_callback(self._admitting.discard)

    async def _admit(self, client: Client) -> None:
        """Look at what comes before SMTP, then connect."""
        try:
            if self._proxies.has(client.ip) and not await self._unwrap(client):
                return
            context = await self._tls_first(client)
        except prelude.ProxyError as error:
            self._refuse(client, replies.NOT_PROXIED, f"Not served: {error}.")
        except OSError as error:
            client.drop(f"The connection was cut before the greeting: {error.strerror}.")
        except asyncio.CancelledError:
            client.drop("mailbell was stopped.")
            raise
        else:
            await self._connect(client, context)

    async def _unwrap(self, client: Client) -> bool:
        """Read the PROXY header; whether its client may connect."""
        real = await prelude.proxied(client.socket)
        if real is None:
            return True
        client.stands_for(*real)
        return self._let_in(client)

    async def _tls_first(self, client: Client) -> ssl.SSLContext | None:
        """The context, where the client speaks TLS from its first octet on."""
        if self.tls is None:
            return None
        if self.settings.tls == "implicit":
            return self.tls.current()
        patience = self._speakers.patience(client.ip)
        if not patience:
            return None
        spoke_tls = await prelude.speaks_tls(client.socket, patience)
        self._speakers.remember(client.ip, spoke_tls)
        return self.tls.current() if spoke_tls else None

    async def _connect(self, client: Client, context: ssl.SSLContext | None) -> None:
        connection = Connection(self, client)
        self.connections.add(connection)
        timeout = HANDSHAKE_TIMEOUT if context else None
        try:
            await self.loop.connect_accepted_socket(
                lambda: connection, client.socket, ssl=context, ssl_handshake_timeout=timeout
            )
        except OSError as error:
            client.socket.close()
            self.ended(connection, explain(error) if context else f"The connection was cut: {error}.")
        except asyncio.CancelledError:
            client.socket.close()
            self.ended(connection, "mailbell was stopped.")
            raise


def hostname(settings: IoServerSettings | None = None) -> str:
    """The name that it gives itself."""
    name = (settings and settings.hostname) or socket.gethostname()
    return name if name and name.isascii() else "mailbell"


def session_options(settings: IoServerSettings, tls: bool) -> SessionOptions:
    """The session's slice of the settings."""
    return SessionOptions(
        hostname=hostname(settings),
        max_size=settings.max_size,
        max_recipients=settings.max_recipients,
        max_errors=settings.max_errors,
        max_command=settings.max_command,
        starttls=tls and settings.tls == "starttls",
        auth=settings.auth,
        auth_plaintext=settings.auth_plaintext,
        bare_lf=settings.bare_lf,
    )
