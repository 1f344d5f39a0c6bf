"""One connection: the shell that carries octets between socket and session, and mail on to the journal."""

import asyncio
import logging
from typing import Protocol, cast

from mailbell.clock import Clock
from mailbell.errors import JournalError, JournalFull
from mailbell.journal.base import Journal
from mailbell.mail import Mail, Source, new_id
from mailbell.server import replies
from mailbell.server.transcript import Transcript
from mailbell.settings import IoServerSettings
from mailbell.smtp.replies import Reply
from mailbell.smtp.session import Close, Credentials, Event, MailComplete, Session, SessionOptions, StartTls

EVICTED_AFTER = 10.0
"""Seconds that a connection may idle between transactions while somebody waits for its slot."""

logger = logging.getLogger("mailbell.smtp")


class Host(Protocol):
    """What a connection needs of the I/O server that it belongs to."""

    id: str
    settings: IoServerSettings
    session_options: SessionOptions
    journal: Journal
    clock: Clock

    def somebody_waits(self) -> bool:
        """Does a client wait for a slot?"""
        ...

    def ended(self, connection: "Connection") -> None:
        """The connection is no more; its slot is free."""
        ...


class Connection(asyncio.Protocol):
    """A client that has its slot, from the greeting to the end; leaves a transcript."""

    def __init__(self, host: Host, ip: str, port: int, transcript: Transcript) -> None:
        self.transcript = transcript
        self.outcome = ""
        self._host = host
        self._clock = host.clock
        self._peer = (ip, port)
        self._transport: asyncio.Transport | None = None
        self._session = Session(host.session_options, transcript.record, check_sender=self._check_sender)
        self._storing: asyncio.Task[None] | None = None
        self._reading = True
        self._active_at = host.clock.monotonic()
        self._data_since: float | None = None

    def __repr__(self) -> str:
        return f"<Connection {self._host.id} {self._peer[0]}:{self._peer[1]} {self._session!r}>"

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._session.greet()
        self._advance()

    def data_received(self, data: bytes) -> None:
        self._active_at = self._clock.monotonic()
        self._session.receive(data)
        self._advance()

    def eof_received(self) -> bool:
        """The client says no more; an answer that is still owed is given before the line is closed."""
        self._session.receive_eof()
        self._advance()
        return not self._session.closed

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._session.closed and self._storing is None:
            self._session.receive_eof()
            self._take_events()
        if exc is not None:
            self.outcome = f"The connection was cut: {exc}."
        self._host.ended(self)

    # What the I/O server calls.

    @property
    def buffered(self) -> int:
        """Octets held of a message that is coming in."""
        return self._session.buffered

    def tick(self, now: float) -> None:
        """Look at the clock; called about once a second."""
        session, settings, idle = self._session, self._host.settings, now - self._active_at
        if session.paused:  # it waits for us
            return
        if self._overdue(now):
            self._end(replies.TOO_SLOW, "The message took longer than data_timeout.")
        elif idle > settings.idle_timeout:
            self._end(replies.IDLE, "The client said nothing for longer than idle_timeout.")
        elif idle > EVICTED_AFTER and self._host.somebody_waits() and not session.in_transaction:
            self._end(replies.EVICTED, "It was idle, and another client needed its slot.")

    def shutdown(self) -> None:
        """Part politely, unless a mail is under way: it may finish."""
        if not self._session.in_transaction:
            self._end(replies.STOPPING, "mailbell was stopped.")

    def abort(self) -> None:
        """Cut the line."""
        self.outcome = self.outcome or "mailbell was stopped."
        if self._transport is not None:
            self._transport.abort()

    async def stored(self) -> None:
        """Return when no mail is on its way into the journal."""
        if self._storing is not None:
            await self._storing

    # The dialogue.

    def _advance(self) -> None:
        """Act on what the session has to say; read on when it does not wait for us."""
        self._take_events()
        self._flush()
        if self._reading == self._session.paused:
            self._switch_reading()
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
                self._session.credentials_checked(True)
            case StartTls():
                raise NotImplementedError("STARTTLS is not offered")
            case Close(reason):
                self.outcome = self.outcome or reason

    async def _store(self, complete: MailComplete) -> None:
        """Journal the mail, then answer: the 250 exists only once it is on stable storage."""
        now = int(self._clock.time() * 1000)
        mail = Mail(new_id(now), now, self._host.id, self._source(), complete.envelope, complete.raw)
        reply = await self._append(mail)
        self._storing = None
        self._active_at = self._clock.monotonic()
        self._session.reply(reply)
        self._advance()

    async def _append(self, mail: Mail) -> Reply:
        try:
            await self._host.journal.append(mail)
        except JournalError as error:
            logger.error("%s: mail from %s not stored: %s", self._host.id, self._peer[0], error)
            return replies.FULL if isinstance(error, JournalFull) else replies.UNAVAILABLE
        self.transcript.mails += 1
        return Reply(250, "2.0.0", f"OK {mail.id}")

    def _check_sender(self, _address: str, _size: int) -> Reply | None:
        """What is known to fail later is refused now, before the client sends the message."""
        return replies.UNAVAILABLE if self._host.journal.trouble else None

    def _source(self) -> Source:
        session = self._session
        return Source(self._peer[0], self._peer[1], session.helo, session.auth_user, session.tls)

    def _overdue(self, now: float) -> bool:
        if not self._session.receiving:
            self._data_since = None
            return False
        if self._data_since is None:
            self._data_since = now
        return now - self._data_since > self._host.settings.data_timeout

    def _flush(self) -> None:
        data = self._session.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)

    def _switch_reading(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._reading = not self._reading
        if self._reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _end(self, reply: Reply, outcome: str) -> None:
        """Take leave of the client with a 421."""
        self._session.shutdown(reply, outcome)
        self._advance()
