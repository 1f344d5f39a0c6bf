"""Any dialogue in any pieces: two sessions are told the same, one in pieces, and must behave the same."""

from functools import partial
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mailbell.smtp.events import Said, shown
from mailbell.smtp.replies import Reply
from mailbell.smtp.session import Credentials, Event, MailComplete, Session, SessionOptions, StartTls
from mailbell.smtp.states import State
from tests.smtp.driver import TLS

ENVELOPE = [b"EHLO me", b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>"]
DIALOGUES = [
    [*ENVELOPE, b"DATA", b"content", b"..", b"."],
    [*ENVELOPE, b"DATA", b"."],
    [*ENVELOPE, b"BDAT 9", b"content", b"BDAT 0 LAST"],
    [*ENVELOPE, b"BDAT 4 LAST", b"QU"],
    [b"AUTH LOGIN", b"YQ==", b"Yg=="],
    [b"AUTH CRAM-MD5", b"YSBi"],
    [b"AUTH PLAIN AGEAYg=="],
    [b"EHLO me", b"STARTTLS"],
]
ODD = [
    b"HELO",
    b"MAIL FROM:<a@b> SIZE=99",
    b"RCPT TO:<c@d>,<e@f>",
    b"BDAT 70",
    b"BDAT x",
    b".",
    b".x",
    b"RSET",
    b"*",
    b"",
    b"x" * 70,
    b"\x16",
    b"\xff\x00",
]
ENDS = [b"\r", b"\r\r\n", b"", b"\n", b"\r\n"]


@st.composite
def octets(draw: st.DrawFn) -> bytes:
    """Part of a sensible dialogue, mostly with one line end, sometimes with something odd in it."""
    lines = draw(st.sampled_from(DIALOGUES))
    lines = lines[draw(st.integers(0, 2)) :]
    if draw(st.integers(0, 3)) == 0:
        lines = [*lines]
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(ODD) | st.binary(max_size=9)))
    end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\n"]))
    odd = draw(st.integers(0, 30))
    ends = [draw(st.sampled_from(ENDS)) if number == odd else end for number in range(len(lines))]
    return b"".join(line + end for line, end in zip(lines, ends, strict=True))


OPTIONS = st.builds(
    SessionOptions,
    max_size=st.sampled_from([20, 1000]),
    max_recipients=st.just(3),
    max_errors=st.sampled_from([2, 20, 20]),
    max_command=st.just(60),
    starttls=st.booleans(),
    auth=st.sampled_from(["off", "any", "any", "required"]),
    auth_plaintext=st.booleans(),
    bare_lf=st.sampled_from(["auto", "auto", "reject"]),
)
REPLIES = st.sampled_from(
    [Reply(250, "2.0.0", "OK"), Reply(451, "4.3.0", "Later"), Reply(421, "4.3.2", "Closing")]
)


def note(lines: list[str], mark: str, said: Said) -> None:
    lines += [mark + line for line in shown(said)]


class Pieces(RuleBasedStateMachine):
    """`whole` is given each string of octets at once, `pieces` in pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.transcripts: tuple[list[str], list[str]] = ([], [])
        self.pending: Event | None = None

    @initialize(
        options=OPTIONS,
        refused=st.sampled_from([None, None, None, "a@b", "c@d"]),
        greeted=st.booleans(),
        ending=st.sampled_from([None, None, None, "eof", Reply(421, "4.3.2", "Closing")]),
    )
    def connect(
        self, options: SessionOptions, refused: str | None, greeted: bool, ending: Reply | str | None
    ) -> None:
        def check(address: str, _size: int = 0) -> Reply | None:
            return Reply(550, "5.7.1", "No") if address == refused else None

        self.options = options
        self.ending = ending
        self.sessions = [
            Session(
                options,
                partial(note, lines),
                challenge=lambda: b"<1@x>",
                check_sender=check,
                check_recipient=check,
            )
            for lines in self.transcripts
        ]
        if greeted:
            self.greet()

    @precondition(lambda self: self.sessions[0]._machine.state is State.WAITING)
    @rule()
    def greet(self) -> None:
        for session in self.sessions:
            session.greet()
        self.compare()

    @rule(octets=octets(), cuts=st.lists(st.integers(0, 120), max_size=6), bytewise=st.booleans())
    def say(self, octets: bytes, cuts: list[int], bytewise: bool) -> None:
        places = range(len(octets) + 1) if bytewise else sorted({0, len(octets), *cuts})
        whole, pieces = self.sessions
        if octets:
            whole.receive(octets)
        for start, stop in pairwise(places):
            if octets[start:stop]:
                pieces.receive(octets[start:stop])
        self.compare()

    @precondition(lambda self: isinstance(self.pending, MailComplete))
    @rule(reply=REPLIES)
    def answer_mail(self, reply: Reply) -> None:
        self.pending = None
        for session in self.sessions:
            session.reply(reply)
        self.compare()

    @precondition(lambda self: isinstance(self.pending, Credentials))
    @rule(accepted=st.booleans())
    def answer_credentials(self, accepted: bool) -> None:
        self.pending = None
        for session in self.sessions:
            session.credentials_checked(accepted)
        self.compare()

    @precondition(lambda self: isinstance(self.pending, StartTls))
    @rule()
    def answer_starttls(self) -> None:
        self.pending = None
        for session in self.sessions:
            session.tls_started(TLS)
        self.compare()

    @precondition(lambda self: self.ending is not None)
    @rule()
    def end(self) -> None:
        for session in self.sessions:
            if isinstance(self.ending, Reply):
                session.shutdown(self.ending)
            else:
                session.receive_eof()
        self.ending = None
        self.compare()

    def compare(self) -> None:
        """Both have said, and told the shell, the same; what is said makes sense."""
        events, same = (session.events() for session in self.sessions)
        sent, also = (session.data_to_send() for session in self.sessions)
        assert (events, sent) == (same, also)
        for line in sent.splitlines(keepends=True):
            assert line.endswith(b"\r\n")
            assert line[:3].isdigit()
            assert line[3:4] in (b" ", b"-")
        for event in events:
            assert self.pending is None or event == events[-1], "one question at a time"
            self.pending = event
            if isinstance(event, MailComplete):
                assert len(event.raw) <= self.options.max_size
                assert 1 <= len(event.envelope.rcpt_to) <= self.options.max_recipients

    @invariant()
    def same_state(self) -> None:
        if hasattr(self, "sessions"):
            whole, pieces = self.sessions
            assert whole._machine.state is pieces._machine.state
            for name in (
                "helo",
                "auth_user",
                "tls",
                "discarded_after_starttls",
                "in_transaction",
                "receiving",
            ):
                assert getattr(whole, name) == getattr(pieces, name)
            first, second = (
                [line for line in lines if "behind STARTTLS" not in line] for lines in self.transcripts
            )
            assert first == second

    @invariant()
    def bounded(self) -> None:
        if hasattr(self, "sessions"):
            for session in self.sessions:
                if not session.paused:
                    assert session.buffered <= self.options.max_size + self.options.max_command
                if session.closed:
                    assert session.buffered == 0


TestPieces = Pieces.TestCase
TestPieces.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
