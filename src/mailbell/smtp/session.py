"""The session: one SMTP connection as a machine without I/O.

The shell around it does four things, in this order, whenever octets arrive:

1. `receive(data)`: give octets from the wire. Never raises.
2. `events()`: take what happened. If one of them waits for an answer (StartTls, Credentials, MailComplete),
   the session reads no further until it has it; octets that arrive meanwhile are kept (`paused`: stop
   reading).
3. `reply(...)`, `credentials_checked(...)` or `tls_started(...)`: give the answer; then go to 2, for it
   resumes.
4. `data_to_send()`: take octets for the wire, b"" when there are none.

Before all that comes `greet()`, or `refuse(...)`. A Close event is the last: send what there is to send, then
close the connection. This file turns octets into lines and content; what they mean is in `dialogue`, their
order in `states`.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar

from mailbell.mail import Tls
from mailbell.smtp import replies
from mailbell.smtp.dialogue import CRLF_SEEN, LF_SEEN, Dialogue, Transaction
from mailbell.smtp.events import (
    CheckData,
    CheckRecipient,
    CheckSender,
    Close,
    Event,
    MailComplete,
    Record,
    SessionOptions,
    StartTls,
)
from mailbell.smtp.replies import Reply
from mailbell.smtp.sasl import Challenge, Credentials
from mailbell.smtp.states import IN_TRANSACTION, PAUSED, RECEIVING, Signal, State

__all__ = [
    "CheckData",
    "CheckRecipient",
    "CheckSender",
    "Close",
    "Credentials",
    "Event",
    "MailComplete",
    "Record",
    "Session",
    "SessionOptions",
    "StartTls",
]

HELD_LIMIT = 2**20
"""How much may wait while the session is paused; a shell that stops reading then never comes near."""

# Looking up a member of an Enum is slow in Python 3.11 (0.14 µs).
STORING, CHECKING, HANDSHAKE, CLOSED = State.STORING, State.CHECKING, State.HANDSHAKE, State.CLOSED

_CR = 0x0D
_TLS_HANDSHAKE = 0x16
"""The first octet of a TLS ClientHello (RFC 8446 §5.1)."""


class Session(Dialogue):
    """One SMTP connection. The attributes without underscore are for reading."""

    __slots__ = (
        "_ending",
        "_eof",
        "_held",
        "_held_at",
        "_held_size",
        "_overlong",
        "_partial",
        "discarded_after_starttls",
    )

    def __init__(
        self,
        options: SessionOptions,
        record: Record | None = None,
        *,
        challenge: Challenge | None = None,
        check_sender: CheckSender | None = None,
        check_recipient: CheckRecipient | None = None,
        check_data: CheckData | None = None,
    ) -> None:
        """`challenge` makes CRAM-MD5 challenges, offered only then; the checks may refuse a command."""
        super().__init__(options, record, challenge, check_sender, check_recipient, check_data)
        self._partial = b""
        self._overlong = False
        self._held: list[bytes] = []
        self._held_at = 0
        self._held_size = 0
        self._eof = False
        self._ending: tuple[Reply, str] | None = None
        self.discarded_after_starttls = 0

    def __repr__(self) -> str:
        return f"<Session {self._machine.state.name} helo={self.helo!r} buffered={self.buffered}>"

    # For the shell

    def greet(self) -> None:
        """Greet the client: it has its slot. What it said before that is read now."""
        if not self.closed:
            self._machine.step(Signal.GREET)
            self._say(replies.greeting(self._options.hostname))
            self._resume()

    def refuse(self, reply: Reply, reason: str = "") -> None:
        """Send this instead of a greeting, and close."""
        self.shutdown(reply, reason)

    def receive(self, data: bytes) -> None:
        """Read octets from the wire. Then take `events()` and `data_to_send()`."""
        if self._partial:
            data = self._partial + data
            self._partial = b""
        self._read(data, 0)

    def receive_eof(self) -> None:
        """The client will send no more. What it sent before is still answered; then comes Close."""
        self._eof = True
        self._cut_when_done()

    def events(self) -> list[Event]:
        """Take what happened since the last call."""
        events, self._events = self._events, []
        return events

    def data_to_send(self) -> bytes:
        """Take the octets that are to be sent."""
        out = self._out
        if not out:
            return b""
        octets = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return octets

    def reply(self, reply: Reply) -> None:
        """Answer MailComplete: the mail is stored (250), or it is not."""
        if self.closed:
            return
        self._machine.step(Signal.ANSWER)
        if reply.code < 300:
            self._errors = 0
        self._answer(reply)
        self._resume()

    def credentials_checked(self, accepted: bool, reply: Reply | None = None) -> None:
        """Answer Credentials; with `reply` in place of the usual 235 or 535."""
        if self.closed:
            return
        self._machine.step(Signal.ANSWER)
        if accepted:
            self.auth_user = self._user
            self._note(f"authenticated as {self._user}")
        self._answer(reply or (replies.AUTHENTICATED if accepted else replies.AUTH_FAILED))
        self._resume()

    def tls_started(self, tls: Tls) -> None:
        """Answer StartTls: the handshake is done. With implicit TLS, call it before `greet()`."""
        if self.closed:
            return
        self._machine.step(Signal.SECURED)
        self._discard_held()
        self._start_afresh()
        self.tls = tls
        self._note(f"TLS is on: {tls.version}, {tls.cipher}")

    def shutdown(self, reply: Reply, reason: str = "") -> None:
        """End with this reply (421). A mail that is being stored is answered first; then comes Close."""
        reason = reason or f"The server closed the connection: {reply.text}"
        if self._machine.state is STORING:
            self._ending = reply, reason
            self._drop_held()
        else:
            # In the middle of a handshake, plain text would only spoil the error that the client shows.
            self._end(None if self._machine.state is HANDSHAKE else reply, reason)

    @property
    def closed(self) -> bool:
        """Whether Close has been given: nothing more will come."""
        return self._machine.state is CLOSED

    @property
    def paused(self) -> bool:
        """Whether the session waits for the shell, which best stops reading from the wire."""
        return self._machine.state in PAUSED

    @property
    def in_transaction(self) -> bool:
        """Whether a mail is under way: from MAIL to the answer to its end."""
        return self._machine.state in IN_TRANSACTION

    @property
    def receiving(self) -> bool:
        """Whether a message is coming in: within DATA, or from the first BDAT to the last."""
        return self._machine.state in RECEIVING

    @property
    def buffered(self) -> int:
        """How many octets are held."""
        return self._held_size + len(self._partial) + self._transaction.store.size

    # Reading

    def _read(self, data: bytes, at: int) -> None:
        """Let each state read what it can, from `data[at:]` to the end."""
        machine, readers, size = self._machine, self._READERS, len(data)
        while at < size:
            at = readers[machine.state](self, data, at)

    def _read_line(self, data: bytes, at: int) -> int:
        if data[at] == _TLS_HANDSHAKE and not self._overlong:
            self._answer(replies.TLS_UNEXPECTED)
            return len(data)
        end = data.find(b"\n", at)
        if end < 0:
            return self._keep_partial(data, at)
        is_crlf = end > at and data[end - 1] == _CR
        self._line_ends |= CRLF_SEEN if is_crlf else LF_SEEN
        if self._overlong or end - at >= self._options.max_command:
            self._refuse_line(replies.LINE_TOO_LONG)
        elif not is_crlf and self._options.bare_lf == "reject":
            self._refuse_line(replies.BARE_LF)
        elif self._exchange is None:
            self._command(data[at : end - is_crlf])
        else:
            self._respond(data[at : end - is_crlf])
        return end + 1

    def _keep_partial(self, data: bytes, at: int) -> int:
        """Keep the beginning of a line; of one that is too long, only what tells how it ends."""
        self._partial = data[at:]
        if len(self._partial) >= self._options.max_command:
            self._overlong = True
            self._partial = data[-1:]
        return len(data)

    def _refuse_line(self, reply: Reply) -> None:
        self._overlong = False
        self._note("a line was refused unread")
        if self._exchange is not None:
            self._cancel_exchange(reply)
        else:
            self._answer(reply)

    def _read_dots(self, data: bytes, at: int) -> int:
        """Content of DATA."""
        dots = self._transaction.dots
        at = dots.read(data, at)
        if dots.done:
            self._complete()
        return at

    def _read_chunk(self, data: bytes, at: int) -> int:
        """Content of BDAT, taken or refused."""
        end = min(len(data), at + self._chunk_left)
        self._chunk_left -= end - at
        if self._chunk_refusal is None:
            self._transaction.store.write(data[at:end])
        if not self._chunk_left:
            self._end_chunk()
        return end

    def _hold(self, data: bytes, at: int) -> int:
        """Keep what comes while the shell has the word."""
        if self._ending is None:
            if not self._held:
                self._held_at = at
            self._held.append(data)
            self._held_size += len(data) - at
            if self._held_size > HELD_LIMIT and len(self._held) > 1:
                self._drop_held()
                self.shutdown(replies.SENT_AHEAD)
        return len(data)

    def _discard_held(self) -> None:
        self.discarded_after_starttls += self._held_size
        self._drop_held()

    def _drop_held(self) -> None:
        self._held = []
        self._held_at = self._held_size = 0

    def _discard(self, data: bytes, at: int) -> int:
        """CVE-2011-0411: what came in clear behind STARTTLS must not be read as if it had come under TLS."""
        self.discarded_after_starttls += len(data) - at
        self._note(f"{len(data) - at} octets that came in clear behind STARTTLS are discarded")
        return len(data)

    def _ignore(self, data: bytes, at: int) -> int:
        return len(data)

    def _resume(self) -> None:
        """Read what was held, once the shell has answered."""
        if self._ending is not None:
            self._end(*self._ending)
        elif self._held:
            held, at = self._held, self._held_at
            self._drop_held()
            self._read(held[0] if len(held) == 1 else b"".join(held), at)
        if self._eof:
            self._cut_when_done()

    def _cut_when_done(self) -> None:
        """After the client's last octet: close, unless an answer is still owed to it."""
        if not self._held and self._machine.state not in (STORING, CHECKING):
            self._end(None, _cut_reason(self._machine.state, self._transaction))

    def _end(self, reply: Reply | None, reason: str) -> None:
        if not self.closed:
            super()._end(reply, reason)
            self._drop_held()
            self._partial = b""

    _READERS: ClassVar[Mapping[State, Callable[["Session", bytes, int], int]]] = {
        State.WAITING: _hold,
        State.READY: _read_line,
        State.MAIL: _read_line,
        State.RCPT: _read_line,
        State.DATA: _read_dots,
        State.CHUNK: _read_chunk,
        State.CHUNKED: _read_line,
        State.SKIP: _read_chunk,
        State.STORING: _hold,
        State.SASL: _read_line,
        State.CHECKING: _hold,
        State.HANDSHAKE: _discard,
        State.CLOSED: _ignore,
    }


def _cut_reason(state: State, transaction: Transaction) -> str:
    if state is State.READY:
        return "The client closed the connection without QUIT."
    received = transaction.dots.received if state is State.DATA else transaction.store.received
    lost = f"; {received} octets of an unfinished mail are discarded" if state in RECEIVING else ""
    return f"The client closed the connection while it was {state.value}{lost}."
