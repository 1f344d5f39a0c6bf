"""Fuzz the session: `python -m tests.faults.fuzz_session [SECONDS] [SEED]`.

Dialogues are cut up, shuffled and damaged; each is given to one session whole and to another in pieces. Both
must do the same, raise nothing, hold no more than they may, and answer in well-formed lines. Far more, and
far wilder, than the Hypothesis machine gets to in its time; a finding is printed as octets and becomes a
small test in tests/smtp.
"""

import random
import sys
import time

from mailbell.smtp.events import shown
from mailbell.smtp.replies import Reply
from mailbell.smtp.session import Credentials, Event, MailComplete, Session, SessionOptions, StartTls
from tests.smtp.driver import STORED, TLS

TOKENS = [
    *[
        b"EHLO me",
        b"HELO me",
        b"MAIL FROM:<a@b>",
        b"MAIL FROM:<a@b> SIZE=50",
        b"RCPT TO:<c@d>",
        b"RCPT TO:<c@d>,<e@f>",
    ],
    *[
        b"DATA",
        b"BDAT 5",
        b"BDAT 12",
        b"BDAT 5 LAST",
        b"BDAT 0 LAST",
        b"BDAT 99999",
        b"BDAT",
        b"RSET",
        b"NOOP",
        b"HELP",
    ],
    *[
        b"QUIT",
        b"VRFY a",
        b"EXPN a",
        b"TURN",
        b"STARTTLS",
        b"AUTH PLAIN AGEAYg==",
        b"AUTH LOGIN",
        b"YQ==",
        b"*",
    ],
    *[
        b"AUTH CRAM-MD5",
        b"AUTH PLAIN =",
        b"AUTH NTLM",
        b"GET / HTTP/1.1",
        b"\x16\x03\x01",
        b".",
        b"..",
        b".x",
        b"body",
    ],
    *[
        b"x" * 100,
        b"<",
        b">",
        b'"',
        b"\0",
        b"\xff",
        b" ",
        b"\t",
        b"FROM:",
        b"To: a@b",
        b"SIZE=99999999999999999999",
    ],
]
DIALOGUE = [b"EHLO me", b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>", b"DATA", b"Subject: x", b"", b"..body", b"."]
ENDS = [b"\r\n"] * 12 + [b"\n"] * 4 + [b"\r", b"\r\r\n", b"", b"\n\n"]


def make_dialogue(rng: random.Random) -> bytes:
    """Lines of sense and nonsense; now and then an octet is lost, doubled or changed."""
    end = rng.choice([None, b"\r\n", b"\r\n", b"\n"])
    lines: list[bytes] = []
    while rng.random() < 0.75:
        lines += (
            DIALOGUE[rng.randrange(4) :] if rng.random() < 0.5 else rng.choices(TOKENS, k=rng.randint(1, 4))
        )
    octets = bytearray(b"".join(line + (end or rng.choice(ENDS)) for line in lines))
    for _ in range(rng.choice([0, 0, 1, 3])):
        if octets:
            place = rng.randrange(len(octets))
            octets[place : place + rng.randrange(2)] = rng.choice([b"", b"\r", b"\n", b".", rng.randbytes(1)])
    return bytes(octets)


def make_options(rng: random.Random) -> SessionOptions:
    return SessionOptions(
        max_size=rng.choice([0, 10, 10000]),
        max_recipients=rng.choice([1, 3]),
        max_errors=rng.choice([0, 3, 20]),
        max_command=rng.choice([20, 80]),
        starttls=rng.random() < 0.5,
        auth=rng.choice(["off", "any", "any", "required"]),
        auth_plaintext=rng.random() < 0.5,
        bare_lf=rng.choice(["auto", "auto", "reject"]),
    )


class Run:
    """One session, its shell, and what came of it. The shell answers only when all is said."""

    def __init__(self, options: SessionOptions, seed: int) -> None:
        self.rng = random.Random(seed)
        self.options = options
        self.lines: list[str] = []
        self.seen: list[Event] = []
        self.sent = b""
        self.session = Session(
            options,
            lambda mark, said: self.lines.extend(mark + line for line in shown(said)),
            challenge=lambda: b"<1@x>",
            check_data=lambda: Reply(451, "4.3.0", "Later") if self.rng.random() < 0.1 else None,
        )

    def play(self, pieces: list[bytes]) -> "Run":
        self.session.greet()
        for piece in pieces:
            self.session.receive(piece)
            self.check()
        self.session.receive_eof()
        self.collect()
        while not self.session.closed:
            self.answer(self.seen[-1])
            self.collect()
        return self

    def check(self) -> None:
        session = self.session
        if not session.paused:
            bound = self.options.max_size + self.options.max_command
            assert session.buffered <= bound, f"{session.buffered} octets held"

    def collect(self) -> None:
        self.seen += self.session.events()
        sent = self.session.data_to_send()
        assert all(line[:3].isdigit() and line[3:4] in (b" ", b"-") for line in sent.splitlines())
        assert not sent or sent.endswith(b"\r\n")
        self.sent += sent

    def answer(self, event: Event) -> None:
        match event:
            case MailComplete():
                self.session.reply(self.rng.choice([STORED, STORED, Reply(451, "4.3.0", "Later")]))
            case Credentials():
                self.session.credentials_checked(self.rng.random() < 0.7)
            case StartTls():
                self.session.tls_started(TLS)
            case _:
                raise AssertionError(f"the session waits for nothing, yet is not closed: {self.session!r}")

    @property
    def outcome(self) -> object:
        return self.seen, self.sent, [line for line in self.lines if "behind STARTTLS" not in line]


def cut(octets: bytes, rng: random.Random) -> list[bytes]:
    most = rng.choice([1, 2, 5, 40, 400])
    pieces = []
    while octets:
        size = rng.randint(1, most)
        pieces.append(octets[:size])
        octets = octets[size:]
    return pieces


def play_one(seed: int) -> int:
    """Play the dialogue of this seed whole and in pieces; return how many mails came of it."""
    rng = random.Random(seed)
    options, octets = make_options(rng), make_dialogue(rng)
    try:
        whole = Run(options, seed).play([octets] if octets else [])
        pieces = Run(options, seed).play(cut(octets, rng))
        assert whole.outcome == pieces.outcome, f"{whole.outcome}\nin pieces: {pieces.outcome}"
    except Exception as error:
        raise AssertionError(f"seed {seed}, {options}, octets {octets!r}: {error!r}") from error
    return sum(isinstance(event, MailComplete) for event in whole.seen)


def fuzz(seconds: float, seed: int) -> tuple[int, int]:
    """Play for so long; return how many dialogues were played and how many mails came of them."""
    played = mails = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        mails += play_one(seed + played)
        played += 1
    return played, mails


if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**9)
    print(f"from seed {seed}: {fuzz(seconds, seed)} dialogues and mails")
