"""The states of a session, as data.

The rules of this house:

- Everything that changes state is in this file: a `Machine` and the table that it steps through.
- The table maps state → what happened → state. A step is a command that was accepted (2yz, 3yz), or a
  `Signal`: the end of something the client sent, or an answer from the shell. A command that is refused
  changes nothing.
- What is not in the table can't happen: a command becomes 503 5.5.1 (`misplaced` knows the words), a signal
  is a mistake of the shell and raises.
- In the states of `PAUSED` the session waits for the shell and reads nothing.

```
WAITING ─GREET─▶ READY ─MAIL─▶ MAIL ─RCPT─▶ RCPT ─DATA─▶ DATA ─END─▶ STORING ─ANSWER─▶ READY
                   │                         └──BDAT─▶ CHUNK ─CHUNK_END─▶ CHUNKED ─BDAT─▶ CHUNK ─END─▶ STORING
                   ├─STARTTLS─▶ HANDSHAKE ─SECURED─▶ READY
                   └─AUTH─▶ SASL ─CREDENTIALS─▶ CHECKING ─ANSWER─▶ READY
```
There is no state for "said HELO": devices that never do are served (spec: devices).
"""

from collections.abc import Mapping
from enum import StrEnum, unique

from mailbell.smtp import replies
from mailbell.smtp.commands import OBSOLETE, Command
from mailbell.smtp.replies import Reply


@unique
class State(StrEnum):
    """Where a session is; the value finishes the sentence "the connection ended while it was …"."""

    WAITING = "waiting for its turn"
    READY = "idle"
    MAIL = "about to name recipients"
    RCPT = "about to send a message"
    DATA = "sending a message"
    CHUNK = "sending a chunk"
    CHUNKED = "between two chunks"
    SKIP = "sending a refused chunk"
    STORING = "having its mail stored"
    SASL = "authenticating"
    CHECKING = "having its password checked"
    HANDSHAKE = "starting TLS"
    CLOSED = "closed"


@unique
class Signal(StrEnum):
    """What happens besides commands."""

    GREET = "greet"
    """The shell has given the connection a slot."""
    END = "end"
    """The final dot, or the last octet of the last chunk."""
    CHUNK_END = "chunk end"
    """The last octet of a chunk that is not the last, or of a refused one."""
    SKIP = "skip"
    """A refused BDAT: its octets follow all the same."""
    CREDENTIALS = "credentials"
    """The client has said all that authentication needs."""
    CANCEL = "cancel"
    """The client gave authentication up, or made no sense."""
    ANSWER = "answer"
    """The shell has stored the mail, checked the password, or refused to."""
    SECURED = "secured"
    """The TLS handshake is done."""
    CLOSE = "close"


Step = Command | Signal
Row = Mapping[Step, State]


def _listening(here: State, **there: State) -> Row:
    """The row of a state that reads commands: some are taken in each of them (RFC 5321 §4.1.4)."""
    stay = (Command.NOOP, Command.HELP, Command.VRFY, Command.EXPN, *OBSOLETE)
    restart = (Command.HELO, Command.EHLO, Command.RSET)
    row: dict[Step, State] = dict.fromkeys(stay, here)
    row |= dict.fromkeys(restart, State.READY)
    row |= {Command.QUIT: State.CLOSED, Signal.CLOSE: State.CLOSED, Signal.SKIP: State.SKIP}
    return row | {Command(word): state for word, state in there.items()}


TABLE: Mapping[State, Row] = {
    # Implicit TLS comes before the greeting.
    State.WAITING: {Signal.GREET: State.READY, Signal.SECURED: State.WAITING, Signal.CLOSE: State.CLOSED},
    State.READY: _listening(State.READY, MAIL=State.MAIL, STARTTLS=State.HANDSHAKE, AUTH=State.SASL),
    State.MAIL: _listening(State.MAIL, RCPT=State.RCPT),
    State.RCPT: _listening(State.RCPT, RCPT=State.RCPT, DATA=State.DATA, BDAT=State.CHUNK),
    State.DATA: {Signal.END: State.STORING, Signal.CLOSE: State.CLOSED},
    State.CHUNK: {Signal.CHUNK_END: State.CHUNKED, Signal.END: State.STORING, Signal.CLOSE: State.CLOSED},
    State.CHUNKED: _listening(State.CHUNKED, BDAT=State.CHUNK),
    State.SKIP: {Signal.CHUNK_END: State.READY, Signal.CLOSE: State.CLOSED},
    State.STORING: {Signal.ANSWER: State.READY, Signal.CLOSE: State.CLOSED},
    State.SASL: {Signal.CREDENTIALS: State.CHECKING, Signal.CANCEL: State.READY, Signal.CLOSE: State.CLOSED},
    State.CHECKING: {Signal.ANSWER: State.READY, Signal.CLOSE: State.CLOSED},
    State.HANDSHAKE: {Signal.SECURED: State.READY, Signal.CLOSE: State.CLOSED},
    # Whatever the shell still had to say comes too late, and that is normal: a client may go at any moment.
    State.CLOSED: dict.fromkeys(Signal, State.CLOSED),
}

PAUSED = frozenset({State.WAITING, State.STORING, State.CHECKING, State.HANDSHAKE})
"""The shell has the word."""

IN_TRANSACTION = frozenset(
    {State.MAIL, State.RCPT, State.DATA, State.CHUNK, State.CHUNKED, State.SKIP, State.STORING}
)
"""From MAIL to its end."""

RECEIVING = frozenset({State.DATA, State.CHUNK, State.CHUNKED, State.SKIP})
"""Within a message."""

_MISPLACED: Mapping[tuple[State, Command], Reply] = {
    (State.READY, Command.RCPT): replies.NEED_MAIL,
    (State.READY, Command.DATA): replies.NEED_MAIL,
    (State.READY, Command.BDAT): replies.NEED_MAIL,
    (State.MAIL, Command.DATA): replies.NEED_RCPT,
    (State.MAIL, Command.BDAT): replies.NEED_RCPT,
    (State.MAIL, Command.MAIL): replies.NESTED_MAIL,
    (State.RCPT, Command.MAIL): replies.NESTED_MAIL,
    (State.MAIL, Command.AUTH): replies.MAIL_UNDER_WAY,
    (State.RCPT, Command.AUTH): replies.MAIL_UNDER_WAY,
    (State.MAIL, Command.STARTTLS): replies.MAIL_UNDER_WAY,
    (State.RCPT, Command.STARTTLS): replies.MAIL_UNDER_WAY,
}


def misplaced(state: State, command: Command) -> Reply:
    """The 503 for a command that has no place in this state: it says which one would have."""
    if state is State.CHUNKED:
        return replies.NEED_CHUNK
    return _MISPLACED.get((state, command), replies.OUT_OF_ORDER)


class Machine:
    """The state of one session. `row` is what may happen next."""

    __slots__ = ("row", "state")

    def __init__(self) -> None:
        self.state = State.WAITING
        self.row = TABLE[self.state]

    def step(self, step: Step) -> None:
        """Go where the table says; LookupError where it says nothing."""
        state = self.row.get(step)
        if state is None:
            raise LookupError(
                f"{step!r} can't happen while a session is {self.state.value} ({self.state.name})"
            )
        self.state = state
        self.row = TABLE[state]
