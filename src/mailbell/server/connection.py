"""One connection: the shell that carries octets between socket and session, and mail on to the journal."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Protocol

from mailbell.clock import Clock
from mailbell.errors import JournalError, JournalFull
from mailbell.journal.base import Journal
from mailbell.mail import Mail, Source, new_id
from mailbell.server.slots import Slots
from mailbell.server.transcript import Transcript, Transcripts
from mailbell.settings import IoServerSettings
from mailbell.smtp.replies import Reply
from mailbell.smtp.session import Close, Credentials, Event, MailComplete, Session, SessionOptions, StartTls

EVICTED_AFTER = 10.0
"""Seconds that a connection may idle between transactions while somebody waits for its slot."""

READ_AHEAD = 65536
"""Octets taken from a client that talks on while its mail is being stored; then it is paused."""

STOPPING = Reply(421, "4.3.2", "mailbell is shutting down; try again in a minute")
IDLE = Reply(421, "4.4.2", "Closing: nothing was said for too long; connect again when there is mail")
EVICTED = Reply(421, "4.4.2", "Closing this idle connection, for another client waits for its slot")
TOO_SLOW = Reply(
    421, "4.4.2", "Closing: the message took too long to arrive; check the network or raise data_timeout"
)
NO_SLOT = Reply(421, "4.3.2", "Too many connections at once; try again later, or raise `threads`")
FULL = Reply(
    452, "4.3.1", "No room to store the message; free disk space on the mail server, then send it again"
)
UNAVAILABLE = Reply(
    451, "4.3.0", "The message could not be stored; see the mail server's log, then send it again"
)

logger = logging.getLogger("mailbell.smtp")


class Host(Protocol):
    """What a connection needs of the I/O server that it belongs to."""

    id: str
    settings: IoServerSettings
    session_options: SessionOptions
    journal: Journal
    clock: Clock
    slots: Slots
    transcripts: Transcripts
    connections: "set[Connection]"
    tasks: "set[asyncio.Task[None]]"


class Connection(asyncio.Protocol):
    """A client from arrival to end: waits for a slot ungreeted, is served, leaves a transcript."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._clock = host.clock
        self._session: Session | None = None
        self._transport: asyncio.Transport | None = None
        self._transcript: Transcript | None = None
        self._early = bytearray()
        self._outcome = ""
        self._served = False
        self._paused = False
        self._ended_early = False  # the client has closed its side and may still read
        self._peer = ("", 0)
        self._active_at = host.clock.monotonic()
        self._data_since: float | None = None

    def __repr__(self) -> str:
        state = "served" if self._served else "waiting"
        return f"<Connection {self._host.id} {self._peer[0]}:{self._peer[1]} {state}>"

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  a stream, as create_server promises
        self._transport = transport
        address = transport.get_extra_info("peername") or ("", 0)
        self._peer = (address[0].removeprefix("::ffff:"), address[1])
        self._host.connections.add(self)
        self._transcript = self._host.transcripts.begin(self._host.id, *self._peer)
        if not self._host.slots.enter(self):
            self._refuse(NO_SLOT, "Every slot and the whole queue were taken.")

    def data_received(self, data: bytes) -> None:
        self._active_at = self._clock.monotonic()
        if self._session is None:
            self._keep_early(data)
            return
        self._session.receive(data)
        self._advance()

    def eof_received(self) -> bool:
        """Nothing more will come: what was complete is answered, the rest is gone."""
        self._outcome = self._outcome or "The client closed the connection without QUIT."
        self._ended_early = self._session is not None and self._session.waiting
        return self._ended_early

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._host.connections.discard(self)
        if self._served:
            self._host.slots.leave()
        else:
            self._host.slots.give_up(self)
        if self._transcript is not None:
            self._host.transcripts.end(self._transcript, self._why(exc))

    # What the I/O server calls.

    def serve(self) -> None:
        """A slot is free: greet, and read what came before."""
        assert self._transcript is not None  # noqa: S101
        self._served = True
        self._active_at = self._clock.monotonic()
        self._session = Session(self._host.session_options, self._transcript.record)
        self._session.greet()
        if self._early:
            self._session.receive(bytes(self._early))
            self._early.clear()
            self._resume()
        self._advance()

    def tick(self, now: float) -> None:
        """Look at the clock; called about once a second."""
        session, settings, idle = self._session, self._host.settings, now - self._active_at
        if session is None:
            if idle > settings.queue_timeout:
                self._refuse(NO_SLOT, "No slot became free in time.")
            return
        if session.waiting:  # for us, not for the client
            return
        if session.receiving:
            self._data_since = self._data_since or now
            if now - self._data_since > settings.data_timeout:
                self._end(TOO_SLOW, "The message took longer than data_timeout.")
                return
        else:
            self._data_since = None
        if idle > settings.idle_timeout:
            self._end(IDLE, "The client said nothing for longer than idle_timeout.")
        elif idle > EVICTED_AFTER and self._host.slots.waiting and not session.in_transaction:
            self._end(EVICTED, "It was idle, and another client needed its slot.")

    def shutdown(self) -> bool:
        """Part politely; False where a message is under way, which is let finish."""
        if self._session is not None and (self._session.waiting or self._session.in_transaction):
            return False
        self._end(STOPPING, "mailbell was stopped.")
        return True

    def abort(self) -> None:
        """Cut the line."""
        self._outcome = self._outcome or "mailbell was stopped."
        if self._transport is not None:
            self._transport.abort()

    # The dialogue.

    def _advance(self) -> None:
        """Act on what the session has to say, until it waits for an answer or for the client."""
        session = self._session
        assert session is not None  # noqa: S101
        while events := session.events():
            for event in events:
                self._handle(event)
        self._flush()
        if session.waiting and session.buffered > READ_AHEAD:
            self._pause()

    def _handle(self, event: Event) -> None:
        match event:
            case MailComplete():
                self._data_since = None
                self._spawn(self._store(event))
            case Credentials():
                assert self._session is not None  # noqa: S101
                self._session.credentials_checked(True)
            case StartTls():
                raise NotImplementedError("STARTTLS is not offered")
            case Close(reason):
                self._outcome = self._outcome or reason
                self._flush()
                self._close()

    async def _store(self, complete: MailComplete) -> None:
        """Journal the mail, then answer: the 250 exists only once it is on stable storage."""
        now = int(self._clock.time() * 1000)
        mail = Mail(new_id(now), now, self._host.id, self._source(), complete.envelope, complete.raw)
        try:
            await self._host.journal.append(mail)
        except JournalError as error:
            logger.error("%s: mail from %s not stored: %s", self._host.id, self._peer[0], error)
            reply = FULL if isinstance(error, JournalFull) else UNAVAILABLE
        else:
            reply = Reply(250, "2.0.0", f"OK {mail.id}")
            if self._transcript is not None:
                self._transcript.mails += 1
        self._active_at = self._clock.monotonic()
        assert self._session is not None  # noqa: S101
        self._session.reply(reply)
        self._advance()
        self._resume()
        if self._ended_early and not self._session.waiting:
            self._close()

    def _source(self) -> Source:
        session = self._session
        assert session is not None  # noqa: S101
        return Source(self._peer[0], self._peer[1], session.helo, session.auth_user, session.tls)

    # Small doings.

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._host.tasks.add(task)
        task.add_done_callback(self._host.tasks.discard)

    def _keep_early(self, data: bytes) -> None:
        """Octets from a client that does not wait to be greeted."""
        self._early += data
        if len(self._early) > READ_AHEAD:
            self._pause()

    def _flush(self) -> None:
        if (
            self._session is not None
            and self._transport is not None
            and (data := self._session.data_to_send())
        ):
            self._transport.write(data)

    def _pause(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _refuse(self, reply: Reply, outcome: str) -> None:
        """Turn away a client that was never served."""
        if self._transport is not None:
            self._transport.write(reply.encode())
        if self._transcript is not None:
            self._transcript.record(">", reply.encode().decode().rstrip())
        self._outcome = outcome
        self._close()

    def _end(self, reply: Reply, outcome: str) -> None:
        """Take leave of the client with a 421."""
        if self._session is None:
            self._refuse(reply, outcome)
            return
        self._outcome = outcome
        self._session.shutdown(reply)
        self._advance()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _why(self, exc: Exception | None) -> str:
        if self._outcome:
            return self._outcome
        return "The connection was cut." if exc is None else f"The connection was cut: {exc}."
