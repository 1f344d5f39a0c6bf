"""The dialogue: what each command does and what it is answered. Lines in, replies and events out.

Which command may come when is the table in `states`; how octets become lines and content is in `session`. A
handler decides and returns its reply; a positive one (2yz, 3yz) takes the step in the table. So a refused
command changes nothing.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar

from mailbell.mail import Envelope, Tls
from mailbell.smtp import grammar, replies, sasl
from mailbell.smtp.commands import OBSOLETE, Command, is_http, parse
from mailbell.smtp.data import CRLF, LF, DotReader, Store
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
from mailbell.smtp.states import Machine, Signal, State, misplaced

# Looking up a member of an Enum costs more than all the rest of a step (Python 3.11: 0.14 µs).
AUTH, BDAT = Command.AUTH, Command.BDAT

LF_SEEN, CRLF_SEEN = 1, 2
"""How this client has ended its command lines; a bare-LF device is one that has used nothing else."""

_SHOWN_MECHANISMS = frozenset(
    {b"PLAIN", b"LOGIN", b"CRAM-MD5", b"DIGEST-MD5", b"NTLM", b"GSSAPI", b"XOAUTH2"}
)
"""What may stand in a transcript behind AUTH; anything else there may be a password."""


class Transaction:
    """From MAIL to the end of the message: the envelope so far, and the content."""

    __slots__ = ("dots", "recipients", "sender", "store")

    dots: DotReader
    """Set by DATA."""

    def __init__(self, sender: str, max_size: int) -> None:
        self.sender = sender
        self.recipients: list[str] = []
        self.store = Store(max_size)


_NO_TRANSACTION = Transaction("", 0)


class Dialogue:
    """One client and what it has said. The attributes without underscore are for reading."""

    __slots__ = (
        "_check_data",
        "_check_recipient",
        "_check_sender",
        "_chunk_is_last",
        "_chunk_left",
        "_chunk_refusal",
        "_errors",
        "_events",
        "_exchange",
        "_guarded",
        "_line_ends",
        "_machine",
        "_make_challenge",
        "_options",
        "_out",
        "_record",
        "_transaction",
        "_user",
        "auth_user",
        "helo",
        "tls",
    )

    def __init__(
        self,
        options: SessionOptions,
        record: Record | None,
        challenge: Challenge | None,
        check_sender: CheckSender | None,
        check_recipient: CheckRecipient | None,
        check_data: CheckData | None,
    ) -> None:
        self._options = options
        self._record = record
        self._make_challenge = challenge
        self._check_sender = check_sender
        self._check_recipient = check_recipient
        self._check_data = check_data
        self._machine = Machine()
        self._events: list[Event] = []
        self._out: list[bytes] = []
        self._errors = 0
        self.tls: Tls | None = None
        self._start_afresh()

    def _start_afresh(self) -> None:
        """RFC 3207 §4.2: after the handshake nothing is left of what the client said before."""
        self.helo = ""
        self.auth_user: str | None = None
        self._user = ""
        self._exchange: sasl.Exchange | None = None
        self._guarded = False
        self._line_ends = 0
        self._transaction = _NO_TRANSACTION
        self._chunk_left = 0
        self._chunk_is_last = False
        self._chunk_refusal: Reply | None = None

    # Lines

    def _command(self, line: bytes) -> None:
        command, argument = parse(line)
        if self._record is not None:
            self._record("<", self._shown(line, command))
        if command is None:
            return self._answer(_unknown(line))
        if command in self._machine.row or command is BDAT:
            reply = self._HANDLERS[command](self, argument)
        else:
            reply = misplaced(self._machine.state, command)
        if reply is None:
            return None
        if reply.code >= 400:
            return self._answer(reply)
        self._machine.step(command)
        return self._say(reply)

    def _answer(self, reply: Reply) -> None:
        """Send a reply, and end the session where it says so, or after too many errors."""
        if reply.code >= 500:
            self._errors += 1
            if self._errors > self._options.max_errors:
                return self._end(replies.TOO_MANY_ERRORS, "The client made too many errors.")
        elif reply.code == 421:
            return self._end(reply, f"The server closed the connection: {reply.text}")
        return self._say(reply)

    def _say(self, reply: Reply) -> None:
        self._out.append(reply.wire)
        if self._record is not None:
            self._record(">", reply)

    def _note(self, line: str) -> None:
        if self._record is not None:
            self._record("=", line)

    def _end(self, reply: Reply | None, reason: str) -> None:
        """Say a last word; Close is the last event."""
        if reply is not None:
            self._say(reply)
        self._machine.step(Signal.CLOSE)
        self._transaction = _NO_TRANSACTION
        self._exchange = None
        self._events.append(Close(reason))

    def _shown(self, line: bytes, command: Command | None) -> bytes:
        """The line for a transcript. After AUTH, even if refused, an unknown word may be a password."""
        if command is None and (self._guarded or line.strip()[:4].upper() == b"AUTH"):
            return b"***"
        self._guarded = command is AUTH
        return _masked(line) if self._guarded else line

    # Commands that take no part in a transaction

    def _helo(self, argument: bytes) -> Reply:
        self._greeted(argument)
        return replies.hello(self._options.hostname)

    def _ehlo(self, argument: bytes) -> Reply:
        self._greeted(argument)
        options = self._options
        offered = sasl.mechanisms(self._make_challenge) if self._offers_auth else ()
        starttls = options.starttls and self.tls is None
        return replies.extended_hello(options.hostname, options.max_size, starttls, offered)

    def _greeted(self, argument: bytes) -> None:
        """Anything goes for a name: devices send none, spaces, underscores, a bare IP."""
        self.helo = grammar.text(argument.strip())
        self._transaction = _NO_TRANSACTION

    def _rset(self, argument: bytes) -> Reply:
        self._transaction = _NO_TRANSACTION
        return replies.RESET

    def _noop(self, argument: bytes) -> Reply:
        return replies.OK

    def _help(self, argument: bytes) -> Reply:
        return replies.HELP

    def _vrfy(self, argument: bytes) -> Reply:
        return replies.VERIFY

    def _expn(self, argument: bytes) -> Reply:
        return replies.EXPAND

    def _obsolete(self, argument: bytes) -> Reply:
        return replies.OBSOLETE

    def _quit(self, argument: bytes) -> None:
        self._end(replies.BYE, "The client said QUIT.")

    def _starttls(self, argument: bytes) -> Reply:
        if self.tls is not None:
            return replies.TLS_ALREADY
        if not self._options.starttls:
            return replies.TLS_OFF
        self._events.append(StartTls())
        return replies.TLS_READY

    # The transaction

    def _mail(self, argument: bytes) -> Reply:
        options = self._options
        if options.auth == "required" and self.auth_user is None:
            return replies.AUTH_REQUIRED if self._offers_auth else replies.AUTH_REQUIRED_TLS
        sender, size = grammar.reverse_path(argument)
        if size > options.max_size:
            return replies.too_large(options.max_size)
        refusal = self._check_sender and self._check_sender(sender, size)
        if refusal:
            return refusal
        self._transaction = Transaction(sender, options.max_size)
        return replies.SENDER_OK

    def _rcpt(self, argument: bytes) -> Reply:
        """One recipient, or several that are taken or refused together: there is one reply for them."""
        addresses = grammar.forward_paths(argument)
        if not addresses:
            return replies.NO_RECIPIENT
        recipients = self._transaction.recipients
        if len(recipients) + len(addresses) > self._options.max_recipients:
            return replies.TOO_MANY_RECIPIENTS
        if self._check_recipient is not None:
            for address in addresses:
                refusal = self._check_recipient(address)
                if refusal:
                    return refusal
        recipients += addresses
        return replies.RECIPIENT_OK

    def _data(self, argument: bytes) -> Reply:
        refusal = self._check_data and self._check_data()
        if refusal:
            return refusal
        transaction = self._transaction
        transaction.dots = DotReader(transaction.store, LF if self._line_ends == LF_SEEN else CRLF)
        return replies.START_DATA

    def _bdat(self, argument: bytes) -> None:
        """RFC 3030 §2. The octets of a refused chunk follow all the same: they are never commands."""
        found = grammar.chunk(argument)
        if found is None:
            self._say(replies.BAD_CHUNK)
            return self._end(
                None, "The client sent a BDAT that can't be understood, and then perhaps anything."
            )
        self._chunk_left, self._chunk_is_last = found
        self._chunk_refusal = self._refuse_chunk(found[0])
        self._machine.step(Signal.SKIP if self._chunk_refusal else BDAT)
        if not self._chunk_left:
            self._end_chunk()
        return None

    def _refuse_chunk(self, size: int) -> Reply | None:
        state, store = self._machine.state, self._transaction.store
        if BDAT not in self._machine.row:
            return misplaced(state, BDAT)
        if store.size + size > self._options.max_size:
            return replies.too_large(self._options.max_size)
        return self._check_data() if self._check_data and state is State.RCPT else None

    def _end_chunk(self) -> None:
        """The last octet of a chunk is in."""
        if self._chunk_refusal is not None:
            self._machine.step(Signal.CHUNK_END)
            self._transaction = _NO_TRANSACTION
            self._answer(self._chunk_refusal)
        elif self._chunk_is_last:
            self._complete()
        else:
            self._machine.step(Signal.CHUNK_END)
            self._answer(replies.CHUNK_OK)

    def _complete(self) -> None:
        """The last octet of the message is in: now the shell has the word, unless we refuse it ourselves."""
        transaction, self._transaction = self._transaction, _NO_TRANSACTION
        store = transaction.store
        if self._record is not None:
            self._record("<", f"({store.received} octets of message)")
        self._machine.step(Signal.END)
        raw = store.take()
        refusal = self._refuse_content(store.excessive, raw)
        if refusal:
            self._machine.step(Signal.ANSWER)
            self._answer(refusal)
        else:
            envelope = Envelope(transaction.sender, tuple(transaction.recipients))
            self._events.append(MailComplete(envelope, raw))

    def _refuse_content(self, excessive: bool, raw: bytes) -> Reply | None:
        if excessive:
            return replies.too_large(self._options.max_size)
        if self._options.bare_lf == "reject" and raw.count(b"\n") != raw.count(b"\r\n"):
            return replies.BARE_LF_DATA
        return None

    # Authentication

    @property
    def _offers_auth(self) -> bool:
        """`any` asks for nothing, so it protects nothing; `required` shows passwords to TLS only."""
        options = self._options
        return options.auth == "any" or (
            options.auth == "required" and (options.auth_plaintext or self.tls is not None)
        )

    def _auth(self, argument: bytes) -> Reply | None:
        if not self._offers_auth:
            return replies.AUTH_OFF if self._options.auth == "off" else replies.AUTH_NEEDS_TLS
        if self.auth_user is not None:
            return replies.AUTH_ALREADY
        mechanism, *initial = argument.split(None, 1) or [b""]
        exchange = sasl.start(mechanism, self._make_challenge)
        if exchange is None:
            return replies.AUTH_UNKNOWN
        self._machine.step(AUTH)
        self._exchange = exchange
        challenge = next(exchange)
        # RFC 2195 has no initial response; a device that sends one to CRAM-MD5 gets the challenge.
        if initial and mechanism.upper() != b"CRAM-MD5":
            self._respond_decoded(initial[0])
        else:
            self._say(replies.challenge(sasl.encode(challenge)))
        return None

    def _respond(self, line: bytes) -> None:
        """A line of an authentication exchange."""
        if self._record is not None:
            self._record("<", "***")
        if line.strip() == b"*":
            self._cancel_exchange(replies.AUTH_CANCELLED)
        else:
            self._respond_decoded(line)

    def _respond_decoded(self, line: bytes) -> None:
        response = sasl.decode(line)
        if response is None and self._options.auth == "any":
            response = line.strip()  # some devices forget base64; here nothing depends on it
        if response is None or self._exchange is None:
            return self._cancel_exchange(replies.AUTH_MALFORMED)
        try:
            challenge = self._exchange.send(response)
        except StopIteration as finished:
            return self._check_credentials(finished.value)
        return self._say(replies.challenge(sasl.encode(challenge)))

    def _check_credentials(self, credentials: Credentials | None) -> None:
        if credentials is None:
            return self._cancel_exchange(replies.AUTH_MALFORMED)
        if credentials.password == "" and self._options.auth == "required":
            return self._cancel_exchange(replies.AUTH_NO_PASSWORD)
        self._exchange = None
        self._user = credentials.user
        self._machine.step(Signal.CREDENTIALS)
        self._events.append(credentials)
        return None

    def _cancel_exchange(self, reply: Reply) -> None:
        self._exchange = None
        self._machine.step(Signal.CANCEL)
        self._answer(reply)

    _HANDLERS: ClassVar[Mapping[Command, Callable[["Dialogue", bytes], Reply | None]]] = {
        Command.HELO: _helo,
        Command.EHLO: _ehlo,
        Command.MAIL: _mail,
        Command.RCPT: _rcpt,
        Command.DATA: _data,
        Command.BDAT: _bdat,
        Command.RSET: _rset,
        Command.NOOP: _noop,
        Command.QUIT: _quit,
        Command.VRFY: _vrfy,
        Command.EXPN: _expn,
        Command.HELP: _help,
        Command.STARTTLS: _starttls,
        Command.AUTH: _auth,
        **dict.fromkeys(OBSOLETE, _obsolete),
    }


def _unknown(line: bytes) -> Reply:
    if is_http(line):
        return replies.NOT_SMTP
    return replies.UNKNOWN if line.strip() else replies.EMPTY


def _masked(line: bytes) -> bytes:
    """An AUTH command without its initial response."""
    verb, *rest = line.split(None, 2)
    shown = [verb, rest[0]] if rest and rest[0].upper() in _SHOWN_MECHANISMS else [verb]
    return b" ".join([*shown, b"***"] if len(rest) >= len(shown) else shown)
