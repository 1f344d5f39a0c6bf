"""One connection: the shell that carries octets between socket and session, and mail on to the journal."""

import asyncio
import logging
import ssl
from functools import partial
from typing import Protocol, cast

from mailbell.clock import Clock
from mailbell.errors import JournalError
from mailbell.journal.base import Appender
from mailbell.login.users import Authenticator
from mailbell.mail import Mail, Source, Tls, new_id
from mailbell.server import replies
from mailbell.server.chaos import Chaos, Dropped, Refused
from mailbell.server.client import Client
from mailbell.server.memory import Budget
from mailbell.server.patience import Patience
from mailbell.server.tls import HANDSHAKE_TIMEOUT, LEFT_AT_TLS, TlsContext, explain
from mailbell.settings import IoServerSettings
from mailbell.smtp.replies import Reply
from mailbell.smtp.session import Close, Credentials, Event, MailComplete, Session, StartTls

PIECE = 16 * 2**10
"""Octets of commands that are read in one go: 256 KiB of HELP would take 0.3 s, and 10 MiB of replies."""

TLS_HANDSHAKE = 0x16

TO_SAY_WHY = 1.0
"""Seconds that a handshake has to say why it failed, once the connection is lost."""

logger = logging.getLogger("mailbell.smtp")


class Host(Protocol):
    """What a connection needs of the I/O server that it belongs to."""

    id: str
    settings: IoServerSettings
    journal: Appender
    clock: Clock
    budget: Budget
    chaos: Chaos
    tls: TlsContext | None
    authenticator: Authenticator | None
    loop: asyncio.AbstractEventLoop

    @property
    def waiting_since(self) -> float | None:
        """Since when somebody waits for a slot that nobody gives way for."""
        ...

    def gives_way(self) -> None:
        """A slot is about to be free."""
        ...

    def session_for(self, client: Client) -> Session:
        """A session with this I/O server's rules."""
        ...

    def spoke_tls(self, ip: str) -> None:
        """A ClientHello came where SMTP was expected."""
        ...

    def ended(self, connection: "Connection", outcome: str) -> None:
        """The connection is no more."""
        ...


class Connection(asyncio.Protocol):
    """A client that has its slot, from the greeting to the end."""

    __slots__ = (
        "__weakref__",
        "_ahead",
        "_checking",
        "_deaf",
        "_heard",
        "_holds",
        "_host",
        "_outcome",
        "_patience",
        "_reading",
        "_session",
        "_short_of_memory",
        "_storing",
        "_transport",
        "_upgrading",
        "_will_read",
        "_will_say",
        "_wrapped",
        "client",
    )

    def __init__(self, host: Host, client: Client) -> None:
        self.client = client
        self._host = host
        self._session = host.session_for(client)
        self._patience = Patience(host.settings, host.clock.monotonic())
        self._transport: asyncio.Transport | None = None
        self._outcome = ""
        self._storing: asyncio.Future[int] | None = None
        self._checking: asyncio.Task[None] | None = None
        self._upgrading: asyncio.Task[None] | None = None
        self._wrapped = False  # what comes is under TLS, and the session does not know yet
        self._ahead = b""  # read from the socket, not yet by the session
        self._will_read = False
        self._will_say = False
        self._reading = True
        self._short_of_memory = False
        self._deaf = False  # does not read its replies
        self._heard = False  # has said something
        self._holds = False  # a share of the memory

    def __repr__(self) -> str:
        return f"<Connection {self._host.id} {self.client.ip}:{self.client.port} {self._session!r}>"

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        if transport.get_extra_info("ssl_object") is not None:
            self._secured(transport)
        self._session.greet()
        self._advance()

    def data_received(self, data: bytes) -> None:
        if self._wrapped:  # it came with the last octets of the handshake, of whose end we are yet to hear
            self._ahead += data
            return
        if not self._heard:
            self._heard = True
            if data[0] == TLS_HANDSHAKE and self._session.tls is None:
                self._host.spoke_tls(self.client.ip)
        late = self._ahead or len(data) > PIECE or self._host.chaos.settings.latency
        if late and not self._session.receiving:
            self._ahead += data
            self._settle_reading()
        else:
            self._feed(data)

    def eof_received(self) -> bool:
        """The client says no more; an answer that is still owed is given before the line is closed."""
        self._feed_the_rest()
        self._note_loss(None)
        self._session.receive_eof()
        self._advance()
        return not self._session.closed and self._session.tls is None  # TLS has no half-closed state

    def pause_writing(self) -> None:
        self._deaf = True  # it gets no more replies made
        self._settle_reading()

    def resume_writing(self) -> None:
        self._deaf = False
        self._settle_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._upgrading is None:
            self._lost(exc)
        else:  # it knows why it failed, and is about to say so
            asyncio.get_running_loop().call_later(TO_SAY_WHY, self._upgrading.cancel)

    def _lost(self, exc: Exception | None) -> None:
        if not self._session.closed:
            self._feed_the_rest()  # a mail is taken at its dot, whatever comes after
            self._note_loss(exc)
            self._session.receive_eof()
            self._take_events()
        if self._checking is not None:
            self._checking.cancel()
        if self._storing is None:
            self._host.ended(self, self._outcome)

    # What the I/O server calls.

    def pause(self) -> None:
        """Read no more: messages take too much memory."""
        self._short_of_memory = True
        self._settle_reading()

    def resume(self) -> None:
        """There is memory again."""
        self._short_of_memory = False
        self._patience.begin_again(self._host.clock.monotonic())  # it was not the client who was slow
        self._settle_reading()

    @property
    def leaves(self) -> bool:
        """Whether the last word is said."""
        return self._session.closed

    @property
    def fruitless_since(self) -> float:
        """When its last mail came, or it."""
        return self._patience.fruitless_since

    def tick(self, now: float) -> None:
        """Look at the clock; called about once a second."""
        if self._storing is not None or self._short_of_memory or self._transport is None:
            return  # it waits for us
        between = not self._session.in_transaction
        parting = self._patience.lost(
            now, deaf=self._deaf, between=between, waiting_since=self._host.waiting_since
        )
        if parting is not None:
            self._host.gives_way()
            self._end(*parting)

    def shutdown(self) -> None:
        """Part politely, unless a mail is under way: it may finish."""
        if not self._session.in_transaction:
            self._end(replies.STOPPING, "mailbell was stopped.")

    def abort(self, outcome: str = "mailbell was stopped.") -> None:
        """Cut the line; what was answered before goes out."""
        self._outcome = self._outcome or outcome
        self._say()
        if self._transport is not None:
            self._transport.abort()
        if self._upgrading is not None:
            self._upgrading.cancel()

    async def stored(self) -> None:
        """Return when no mail is on its way into the journal."""
        while self._storing is not None:
            await asyncio.wait([self._storing])

    # The dialogue.

    def _feed(self, data: bytes) -> None:
        session = self._session
        session.receive(data)
        if session.receiving:
            self._holds = True
            self._patience.heard(self._host.clock.monotonic(), len(data))
            self._host.budget.hold(self, session.buffered)
        self._advance()
        if self._holds and self._storing is None and not session.receiving:
            self._let_go()  # a message that was refused, or given up

    def _feed_the_rest(self) -> None:
        """Nothing more will come: no reason to read what is here in pieces."""
        data, self._ahead = self._ahead, b""
        if data:
            self._session.receive(data)

    def _feed_piece(self) -> None:
        """Read a part of what is here, then let others have their turn."""
        self._will_read = False
        if self._may_read:
            size = len(self._ahead) if self._session.receiving else PIECE
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            self._feed(data)

    def _advance(self) -> None:
        """Act on what the session has to say; read on when it does not wait for us."""
        self._take_events()
        if self._session.closed or self._upgrading is not None:
            self._say()  # before the line is closed, or TLS begins
        else:
            self._say_soon()
        self._settle_reading()
        if self._session.closed and self._transport is not None and self._patience.over_since is None:
            self._patience.over_since = self._host.clock.monotonic()
            self._transport.close()  # once: after a second close() asyncio's TLS transport can't abort()

    def _take_events(self) -> None:
        while events := self._session.events():
            for event in events:
                self._handle(event)

    def _handle(self, event: Event) -> None:
        match event:
            case MailComplete():
                self._store(event)
            case Close(reason):
                self._outcome = self._outcome or reason
            case Credentials():
                self._authenticate(event)
            case StartTls():
                self._feed_the_rest()  # in clear, so discarded
                self._upgrading = asyncio.get_running_loop().create_task(self._upgrade())

    def _store(self, complete: MailComplete) -> None:
        """Journal the mail; the 250 exists only once it is on stable storage. No task for it: they cost."""
        host = self._host
        now = int(host.clock.time() * 1000)
        mail = Mail(new_id(now), now, host.id, self._source(), complete.envelope, complete.raw)
        if host.chaos.reigns:
            self._storing = asyncio.ensure_future(self._store_through_chaos(mail))
        else:
            self._storing = host.journal.append(mail)
        self._storing.add_done_callback(partial(self._answer_mail, mail))

    async def _store_through_chaos(self, mail: Mail) -> int:
        await self._host.chaos.before_storing()
        return await self._host.journal.append(mail)

    def _answer_mail(self, mail: Mail, storing: asyncio.Future[int]) -> None:
        self._storing = None
        error = asyncio.CancelledError() if storing.cancelled() else storing.exception()
        if isinstance(error, Dropped):
            self.abort("Chaos: the line was cut on purpose.")
        else:
            self._give_way()
            self._session.reply(self._reply_to(mail, error))
        self._let_go()
        self._advance()
        if self._transport is None and self._storing is None:
            self._host.ended(self, self._outcome)

    def _give_way(self) -> None:
        """Take leave with the answer to this mail, where it is another's turn: the next may be here."""
        if self._host.waiting_since is None or self._transport is None:
            return
        parting = self._patience.had_its_turn(self._host.clock.monotonic(), self._host.waiting_since)
        if parting is not None and parting.reply is not None:
            self._host.gives_way()
            self._session.shutdown(parting.reply, parting.outcome)

    def _reply_to(self, mail: Mail, error: BaseException | None) -> Reply:
        """What the client is told of its mail."""
        match error:
            case None:
                self.client.transcript.took(len(mail.raw))
                return Reply(250, "2.0.0", f"OK {mail.id}")
            case Refused():
                return error.reply
            case JournalError():
                logger.error("%s: mail from %s not stored: %s", self._host.id, self.client.ip, error)
                return replies.of(error)
        logger.error("%s: mail from %s not stored", self._host.id, self.client.ip, exc_info=error)
        return replies.UNAVAILABLE

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
            work = self._check(self._host.authenticator, credentials)
            self._checking = asyncio.get_running_loop().create_task(work)

    async def _check(self, authenticator: Authenticator, credentials: Credentials) -> None:
        try:
            right = await authenticator.check(self.client.ip, credentials)
        except Exception:
            logger.exception("%s: password of %r not checked", self._host.id, credentials.user)
            right = False
        if not right:
            logger.warning(
                "%s: wrong password for %r from %s", self._host.id, credentials.user, self.client.ip
            )
        self._session.credentials_checked(right)
        self._advance()

    async def _upgrade(self) -> None:
        """STARTTLS: the loop puts TLS between the socket and us."""
        raw, context, transport = self._transport, self._host.tls, None
        assert context is not None  # noqa: S101  it was offered
        try:
            if raw is None:
                return  # the client has gone already
            self._wrapped = True
            transport = await asyncio.get_running_loop().start_tls(
                raw, self, context.current(), server_side=True, ssl_handshake_timeout=HANDSHAKE_TIMEOUT
            )
            if transport is not None and transport.get_extra_info("ssl_object") is None:
                transport = (
                    None  # the line was cut: asyncio returns None then, uvloop a transport without TLS
                )
        except (OSError, RuntimeError) as error:  # RuntimeError: uvloop, where the client had gone before
            self._outcome = self._outcome or explain(error)
        finally:
            self._wrapped, self._upgrading = False, None
            if transport is None:  # the loop does not say connection_lost() in the middle of a handshake
                self._lost(None)
                if raw is not None:
                    raw.abort()
        if transport is not None:
            self._transport = transport
            self._reading = True
            self._secured(transport)
            self._heard = bool(self._ahead)
            self._advance()

    # Small doings.

    def _secured(self, transport: asyncio.BaseTransport) -> None:
        ssl_object = transport.get_extra_info("ssl_object")
        tls = Tls(ssl_object.version(), ssl_object.cipher()[0])
        self.client.transcript.tls = f"{tls.version} {tls.cipher}"
        self._session.tls_started(tls)
        self._heard = False

    def _note_loss(self, error: Exception | None) -> None:
        """What is known of how the client went, beyond what the session knows."""
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            self._outcome = self._outcome or explain(error)
        elif self._session.tls is not None and not self._heard:
            self._outcome = self._outcome or LEFT_AT_TLS
        if isinstance(error, OSError):
            self.client.transcript.record("=", error.strerror or str(error))

    def _let_go(self) -> None:
        """No message is under way any more."""
        self._holds = False
        self._patience.begin_again(self._host.clock.monotonic())
        self._host.budget.release(self)

    def _say_soon(self) -> None:
        """Reply when all is dealt with that came, on all connections, in this turn of the loop.

        A reply wakes up its client, and one on this machine would take the processor from us in between.
        """
        if not self._will_say:
            self._will_say = True
            self._host.loop.call_soon(self._say)

    def _say(self) -> None:
        """Send what there is to send."""
        self._will_say = False
        data = self._session.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._patience.active_at = self._host.clock.monotonic()
            self._transport.write(data)

    @property
    def _may_read(self) -> bool:
        return not (self._session.paused or self._deaf or self._short_of_memory)

    def _settle_reading(self) -> None:
        """Read on, or stop: a client that has to wait fills its own buffers, not ours."""
        wanted = self._may_read
        if self._ahead:
            if wanted and not self._will_read:
                self._will_read = True
                later = self._host.chaos.settings.latency
                asyncio.get_running_loop().call_later(later, self._feed_piece)
            wanted = False
        if wanted == self._reading or self._transport is None or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _end(self, reply: Reply | None, outcome: str) -> None:
        """Take leave of the client with a 421, if it listens."""
        if reply is None or self._deaf:
            self.abort(outcome)
        else:
            self._session.shutdown(reply, outcome)
            self._advance()
