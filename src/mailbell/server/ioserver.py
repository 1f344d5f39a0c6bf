"""An I/O server: one port and everything behind it. startup, run, shutdown."""

import asyncio
import logging
import socket

from mailbell.clock import Clock
from mailbell.journal.base import Journal
from mailbell.server import listener, replies
from mailbell.server.connection import Connection
from mailbell.server.slots import Slots
from mailbell.server.transcript import Transcript, Transcripts
from mailbell.settings import IoServerSettings
from mailbell.smtp.replies import Reply
from mailbell.smtp.session import SessionOptions

TICK = 1.0
"""Seconds between two looks at the clock for all connections: cheaper than a timer for each."""

logger = logging.getLogger("mailbell.smtp")


class IoServer:
    """Listens, serves at most `threads` clients at once, and hands their mail to the journal."""

    def __init__(
        self,
        id_: str,
        settings: IoServerSettings,
        journal: Journal,
        transcripts: Transcripts,
        clock: Clock,
    ) -> None:
        self.id = id_
        self.settings = settings
        self.session_options = session_options(settings)
        self.journal = journal
        self.transcripts = transcripts
        self.clock = clock
        self.slots = Slots(settings.threads, settings.queue_length)
        self.connections: set[Connection] = set()
        self._waiting: set[Arrival] = set()
        self._admitting: set[asyncio.Task[None]] = set()
        self._listener: listener.Listener | None = None
        self._ticker: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<IoServer {self.id} {self.slots.taken} served, {self.slots.waiting} waiting>"

    @property
    def addresses(self) -> list[str]:
        """Where it listens, for people."""
        return [listener.name(each) for each in self._listener.sockets] if self._listener else []

    @property
    def port(self) -> int:
        """The port that it listens on; the system's choice where the settings say 0."""
        assert self._listener is not None  # noqa: S101
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Listen; ListenError when an address can't be had."""
        sockets = listener.bind_all(self.id, self.settings.listen, self.settings.port)
        self._listener = listener.Listener(sockets, self._arrived)
        self._ticker = asyncio.create_task(self._tick())

    async def stop(self, deadline: float) -> None:
        """Stop accepting, part with the idle, give messages under way `deadline` seconds, then cut."""
        if self._listener is not None:
            self._listener.close()
        if self._ticker is not None:
            self._ticker.cancel()
        for arrival in list(self._waiting):
            arrival.refuse(replies.STOPPING, "mailbell was stopped.")
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline
        while (self.connections or self._admitting) and loop.time() < until:
            for connection in list(self.connections):
                connection.shutdown()
            await asyncio.sleep(0.01)
        for task in self._admitting:
            task.cancel()
        for connection in list(self.connections):
            await connection.stored()  # what the journal has taken is answered
            connection.abort()

    # What a connection calls.

    def somebody_waits(self) -> bool:
        """Does a client wait for a slot?"""
        return self.slots.waiting > 0

    def ended(self, connection: Connection) -> None:
        """The connection is no more; its slot is free."""
        self.connections.discard(connection)
        self.transcripts.end(connection.transcript, connection.outcome or "The connection was cut.")
        self.slots.leave()

    # From arrival to connection.

    def _arrived(self, client: socket.socket, ip: str, port: int) -> None:
        arrival = Arrival(self, client, ip, port)
        self._waiting.add(arrival)
        if not self.slots.enter(arrival):
            arrival.refuse(replies.NO_SLOT, "Every slot and the whole queue were taken.")

    def admit(self, arrival: "Arrival") -> None:
        """A slot is free for this client."""
        self._waiting.discard(arrival)
        task = asyncio.get_running_loop().create_task(self._connect(arrival))
        self._admitting.add(task)
        task.add_done_callback(self._admitting.discard)

    def turn_away(self, arrival: "Arrival", outcome: str) -> None:
        """This client is not served."""
        self._waiting.discard(arrival)
        self.slots.give_up(arrival)
        self.transcripts.end(arrival.transcript, outcome)

    async def _connect(self, arrival: "Arrival") -> None:
        connection = Connection(self, arrival.ip, arrival.port, arrival.transcript)
        self.connections.add(connection)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, arrival.client)
        except OSError as error:
            connection.outcome = f"The connection was cut before the greeting: {error}."
            arrival.client.close()
            self.ended(connection)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.look_at_clock()

    def look_at_clock(self) -> None:
        """Part with those whose time is over."""
        now = self.clock.monotonic()
        for arrival in list(self._waiting):
            arrival.tick(now)
        for connection in list(self.connections):
            connection.tick(now)


class Arrival:
    """A client that has connected and waits, ungreeted, for a slot: a socket, and little else."""

    __slots__ = ("_arrived_at", "_host", "client", "ip", "port", "transcript")

    def __init__(self, host: IoServer, client: socket.socket, ip: str, port: int) -> None:
        self._host = host
        self._arrived_at = host.clock.monotonic()
        self.client = client
        self.ip = ip
        self.port = port
        self.transcript: Transcript = host.transcripts.begin(host.id, ip, port)

    def serve(self) -> None:
        """A slot is free."""
        self._host.admit(self)

    def tick(self, now: float) -> None:
        """Nobody waits for longer than queue_timeout."""
        if now - self._arrived_at > self._host.settings.queue_timeout:
            self.refuse(replies.NO_SLOT, "No slot became free within queue_timeout.")

    def refuse(self, reply: Reply, outcome: str) -> None:
        """Send this instead of a greeting, and close."""
        for line in reply.lines:
            self.transcript.record(">", line)
        try:
            self.client.send(reply.wire)  # a fresh socket has room for a line
        except OSError as error:
            outcome = f"{outcome} It was gone before it could be told: {error}."
        self.client.close()
        self._host.turn_away(self, outcome)


def session_options(settings: IoServerSettings) -> SessionOptions:
    """The session's slice of the settings."""
    return SessionOptions(
        hostname=settings.hostname or socket.gethostname(),
        max_size=settings.max_size,
        max_recipients=settings.max_recipients,
        max_errors=settings.max_errors,
        max_command=settings.max_command,
    )
