"""One connection: the shell that carries octets between socket and session, and mail on to the journal."""

import asyncio
import logging
import secrets
import ssl
from collections.abc import Coroutine
from typing import Any, Protocol, cast

from mailbell.clock import Clock
from mailbell.errors import JournalError, JournalFull
from mailbell.journal.base import Journal
from mailbell.mail import Mail, Source, Tls, new_id
from mailbell.server import replies
from mailbell.server.chaos import Chaos
from mailbell.server.client import Client
from mailbell.server.memory import Budget
from mailbell.server.tls import TlsContext, explain
from mailbell.server.users import Authenticator
from mailbell.settings import IoServerSettings
from mailbell.smtp.replies import Reply
from mailbell.smtp.session import Close, Credentials, Event, MailComplete, Session, SessionOptions, StartTls

EVICTED_AFTER = 10.0
"""Seconds that a connection may idle between transactions while somebody waits for its slot."""

RATE_AFTER = 30.0
"""Seconds after which a message has to come at `min_rate`."""

HANDSHAKE_TIMEOUT = 30.0

TLS_HANDSHAKE = 0x16

logger = logging.getLogger("mailbell.smtp")


class Host(Protocol):
    """What a connection needs of the I/O server that it belongs to."""

    id: str
    settings: IoServerSettings
    session_options: SessionOptions
    journal: Journal
    clock: Clock
    budget: Budget
    chaos: Chaos
    tls: TlsContext | None
    authenticator: Authenticator | None

    def somebody_waits(self) -> bool:
        """Does a client wait for a slot?"""
        ...

    def spoke_tls(self, ip: str) -> None:
        """A ClientHello came where SMTP was expected."""
        ...

    def ended(self, connection: "Connection", outcome: str) -> None:
        """The connection is no more."""
        ...


class Connection(asyncio.Protocol):
    """A client that has its slot, from the greeting to the end."""

    def __init__(self, host: Host, client: Client) -> None:
        self.client = client
        self._host = host
        self._outcome = ""
        self._transport: asyncio.Transport | None = None
        self._session = _session(host, client)
        self._storing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading = True
        self._held_up = 0  # by so many reasons not to read: memory, a client that does not read
        self._heard = False
        self._active_at = host.clock.monotonic()
        self._data_since: float | None = None
        self._data_octets = 0

    def __repr__(self) -> str:
        return f"<Connection {self._host.id} {self.client.ip}:{self.client.port} {self._session!r}>"

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        if transport.get_extra_info("ssl_object") is not None:
            self._session.tls_started(_tls(transport))
        self._session.greet()
        self._advance()

    def data_received(self, data: bytes) -> None:
        if not self._heard:
            self._heard = True
            if data[0] == TLS_HANDSHAKE and self._session.tls is None:
                self._host.spoke_tls(self.client.ip)
        latency = self._host.chaos.settings.latency
        if latency:
            self._hold_up()
            asyncio.get_running_loop().call_later(latency, self._receive_late, data)
        else:
            self._receive(data)

    def eof_received(self) -> bool:
        """The client says no more; an answer that is still owed is given before the line is closed."""
        self._session.receive_eof()
        self._advance()
        return not self._session.closed and self._session.tls is None  # TLS has no half-closed state

    def pause_writing(self) -> None:
        self._hold_up()  # a client that does not read its replies gets no more of them made

    def resume_writing(self) -> None:
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._session.closed and self._storing is None:
            self._session.receive_eof()
            self._take_events()
        for task in self._tasks:
            task.cancel()
        self._host.ended(self, self._why(exc))

    # What the I/O server calls.

    @property
    def buffered(self) -> int:
        """Octets held of a message that is coming in."""
        return self._session.buffered

    def pause(self) -> None:
        """Read no more: messages take too much memory."""
        self._hold_up()

    def resume(self) -> None:
        """There is memory again."""
        self._data_since = None  # it was not the client who was slow
        self._go_on()

    def tick(self, now: float) -> None:
        """Look at the clock; called about once a second."""
        session, settings = self._session, self._host.settings
        if session.paused or self._held_up:  # it waits for us, or its own buffer is full
            if now - self._active_at > settings.data_timeout:
                self._end(replies.IDLE, "The client did not read its replies.")
            return
        idle = now - self._active_at
        if session.receiving:
            self._look_at_pace(now)
        else:
            self._data_since = None
        if idle > settings.idle_timeout:
            self._end(replies.IDLE, "The client said nothing for longer than idle_timeout.")
        elif idle > EVICTED_AFTER and self._host.somebody_waits() and not session.in_transaction:
            self._end(replies.EVICTED, "It was idle, and another client needed its slot.")

    def shutdown(self) -> None:
        """Part politely, unless a mail is under way: it may finish."""
        if not self._session.in_transaction:
            self._end(replies.STOPPING, "mailbell was stopped.")

    def abort(self, outcome: str = "mailbell was stopped.") -> None:
        """Cut the line."""
        self._outcome = self._outcome or outcome
        if self._transport is not None:
            self._transport.abort()

    async def stored(self) -> None:
        """Return when no mail is on its way into the journal."""
        if self._storing is not None:
            await self._storing

    # The dialogue.

    def _receive_late(self, data: bytes) -> None:
        self._go_on()
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        session = self._session
        session.receive(data)
        if session.receiving:
            self._active_at = self._host.clock.monotonic()
            self._data_octets += len(data)
            self._host.budget.hold(self, session.buffered)
        self._advance()

    def _advance(self) -> None:
        """Act on what the session has to say; read on when it does not wait for us."""
        self._take_events()
        self._flush()
        self._settle_reading()
        if self._session.closed and self._transport is not None:
            self._transport.close()

    def _take_events(self) -> None:
        while events := self._session.events():
            for event in events:
                self._handle(event)

    def _handle(self, event: Event) -> None:
        match event:
            case MailComplete():
                self._data_since = None
                self._storing = asyncio.get_running_loop().create_task(self._store(event))
            case Credentials():
                self._authenticate(event)
            case StartTls():
                self._spawn(self._upgrade())
            case Close(reason):
                self._outcome = self._outcome or reason

    async def _store(self, complete: MailComplete) -> None:
        """Journal the mail, then answer: the 250 exists only once it is on stable storage."""
        if self._host.chaos.drop():
            self._storing = None
            self.abort("Chaos: the line was cut on purpose.")
            return
        reply = self._host.chaos.data() or await self._append(complete)
        self._storing = None
        self._host.budget.release(self)
        self._session.reply(reply)
        self._advance()

    async def _append(self, complete: MailComplete) -> Reply:
        now = int(self._host.clock.time() * 1000)
        mail = Mail(new_id(now), now, self._host.id, self._source(), complete.envelope, complete.raw)
        try:
            await self._host.journal.append(mail)
        except JournalError as error:
            logger.error("%s: mail from %s not stored: %s", self._host.id, self.client.ip, error)
            return replies.FULL if isinstance(error, JournalFull) else replies.UNAVAILABLE
        self.client.transcript.mails += 1
        return Reply(250, "2.0.0", f"OK {mail.id}")

    def _source(self) -> Source:
        session = self._session
        return Source(self.client.ip, self.client.port, session.helo, session.auth_user, session.tls)

    def _authenticate(self, credentials: Credentials) -> None:
        refusal = self._host.chaos.authentication()
        if refusal is not None:
            self._session.credentials_checked(False, refusal)
        elif self._host.authenticator is None:  # auth = "any"
            self._session.credentials_checked(True)
        else:
            self._spawn(self._check(self._host.authenticator, credentials))

    async def _check(self, authenticator: Authenticator, credentials: Credentials) -> None:
        right = await authenticator.check(self.client.ip, credentials)
        if not right:
            logger.warning(
                "%s: wrong password for %r from %s", self._host.id, credentials.user, self.client.ip
            )
        self._session.credentials_checked(right)
        self._advance()

    async def _upgrade(self) -> None:
        """STARTTLS: the loop puts TLS between the socket and us."""
        assert self._transport is not None and self._host.tls is not None  # noqa: S101  it was offered
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport,
                self,
                self._host.tls.current(),
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            )
        except (OSError, ssl.SSLError) as error:
            self.abort(explain(error))
            return
        if transport is None:  # the client had gone by the end of the handshake
            return
        self._transport = transport
        self._reading = True
        self._session.tls_started(_tls(transport))
        self._advance()

    # Small doings.

    def _look_at_pace(self, now: float) -> None:
        """End a message that takes too long, or comes too slowly."""
        settings = self._host.settings
        if self._data_since is None:
            self._data_since, self._data_octets = now, 0
        taken = now - self._data_since
        if taken > settings.data_timeout:
            self._end(replies.TOO_SLOW, "The message took longer than data_timeout.")
        elif taken > RATE_AFTER and self._data_octets < settings.min_rate * taken:
            self._end(replies.TOO_SLOW, "The message came more slowly than min_rate.")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _flush(self) -> None:
        data = self._session.data_to_send()
        if data and self._transport is not None:
            self._active_at = self._host.clock.monotonic()
            self._transport.write(data)

    def _hold_up(self) -> None:
        self._held_up += 1
        self._settle_reading()

    def _go_on(self) -> None:
        self._held_up -= 1
        self._settle_reading()

    def _settle_reading(self) -> None:
        wanted = not self._session.paused and not self._held_up
        if wanted == self._reading or self._transport is None or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _end(self, reply: Reply, outcome: str) -> None:
        """Take leave of the client with a 421."""
        self._session.shutdown(reply, outcome)
        self._advance()
        if self._held_up:  # it does not read: the 421 would wait for ever
            self.abort(outcome)

    def _why(self, exc: Exception | None) -> str:
        if isinstance(exc, ssl.SSLError):
            return explain(exc)
        return (
            f"The connection was cut: {exc}."
            if exc is not None
            else self._outcome or "The connection was cut."
        )


def _session(host: Host, client: Client) -> Session:
    chaos, journal = host.chaos, host.journal

    def check_sender(_address: str, _size: int) -> Reply | None:
        """What is known to fail later is refused now, before the client sends the message."""
        return replies.UNAVAILABLE if journal.trouble else chaos.sender()

    return Session(
        host.session_options,
        client.transcript.record,
        challenge=_challenge(host),
        check_sender=check_sender,
        check_recipient=lambda _: chaos.recipient(),
    )


def _challenge(host: Host) -> "Any":
    """CRAM-MD5 needs readable passwords, or none at all."""
    if host.authenticator is not None and not host.authenticator.readable:
        return None
    return lambda: f"<{secrets.token_hex(12)}@{host.session_options.hostname}>".encode()


def _tls(transport: asyncio.BaseTransport) -> Tls:
    ssl_object = transport.get_extra_info("ssl_object")
    return Tls(ssl_object.version(), ssl_object.cipher()[0])
