"""The seam: octets in any pieces, pauses, the end, and what is held meanwhile."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.smtp.events import shown
from mailbell.smtp.replies import Reply
from mailbell.smtp.session import (
    HELD_LIMIT,
    Close,
    Credentials,
    MailComplete,
    Session,
    SessionOptions,
    StartTls,
)
from tests.smtp.driver import STORED, TLS, Driver

MAIL = b"EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n..hi\r\n.\r\n"
CHUNKED = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3\r\n\r\n.BDAT 2 LAST\r\n\r\n"
BUSY = Reply(421, "4.3.2", "Closing down: try again")


def started(data: bytes = b"", options: SessionOptions | None = None) -> Session:
    session = Session(options or SessionOptions())
    session.greet()
    session.receive(data)
    session.data_to_send()
    return session


def close_reason(session: Session) -> str:
    *_, close = session.events()
    assert isinstance(close, Close)
    return close.reason


# Pieces


@pytest.mark.parametrize("ends", [b"\r\n", b"\n"])
@pytest.mark.parametrize(
    "dialogue",
    [MAIL + b"QUIT\r\n", MAIL * 3 + b"NOOP\r\n", CHUNKED + MAIL, b"AUTH LOGIN\r\nYQ==\r\nYg==\r\n" + MAIL],
)
def test_whole_and_byte_by_byte_are_the_same(dialogue: bytes, ends: bytes) -> None:
    if b"BDAT" not in dialogue:
        dialogue = dialogue.replace(b"\r\n", ends)
    whole, single = Driver(), Driver()
    replies = whole.say(dialogue)
    assert single.say_all(dialogue[i : i + 1] for i in range(len(dialogue))) == replies
    assert single.seen == whole.seen
    assert single.lines == whole.lines
    assert whole.mails


@given(st.lists(st.integers(0, 200), max_size=8))
def test_any_pieces_are_the_same(cuts: list[int]) -> None:
    dialogue = MAIL + CHUNKED + b"AUTH PLAIN AGEAYg==\r\nXYZ\r\n" + b"Z" * 30 + b"\r\n" + MAIL + b"QUIT\r\n"
    places = sorted({0, len(dialogue), *cuts})
    whole, pieces = Driver(SessionOptions(max_command=30)), Driver(SessionOptions(max_command=30))
    replies = whole.say(dialogue)
    assert pieces.say_all(dialogue[i:j] for i, j in pairwise(places)) == replies
    assert (pieces.seen, pieces.lines) == (whole.seen, whole.lines)


# Pauses


def test_it_waits_for_the_answer_to_a_mail_and_then_reads_on() -> None:
    session = started(MAIL + MAIL + b"QUIT\r\n")
    for _ in range(2):
        (event,) = session.events()
        assert isinstance(event, MailComplete)
        assert session.paused
        assert session.in_transaction
        assert session.buffered > 0
        session.reply(STORED)
        assert session.data_to_send().startswith(b"250 2.0.0 OK 1\r\n")
    assert close_reason(session) == "The client said QUIT."
    assert session.buffered == 0


def test_nothing_is_answered_before_the_mail_is() -> None:
    session = started(MAIL)
    session.receive(b"NOO")
    session.receive(b"P\r\nQUIT\r\n")
    assert session.data_to_send() == b""
    session.reply(STORED)
    assert session.data_to_send() == b"250 2.0.0 OK 1\r\n250 2.0.0 OK\r\n221 2.0.0 Bye\r\n"


def test_it_waits_for_the_greeting() -> None:
    session = Session(SessionOptions())
    session.receive(b"EHLO me\r\nNO")
    session.receive(b"OP\r\n")
    assert session.paused
    assert session.data_to_send() == b""
    session.greet()
    assert session.data_to_send().startswith(b"220 mailbell ESMTP")
    assert session.helo == "me"


def test_it_waits_for_the_answer_to_credentials() -> None:
    session = started(b"AUTH PLAIN AGEAYg==\r\nNOOP\r\n")
    assert session.events() == [Credentials("PLAIN", "a", "b")]
    assert session.data_to_send() == b""
    session.credentials_checked(True)
    assert session.data_to_send() == b"235 2.7.0 Authenticated\r\n250 2.0.0 OK\r\n"


def test_plaintext_behind_starttls_is_discarded_and_counted() -> None:
    lines: list[str] = []
    session = Session(
        SessionOptions(starttls=True),
        lambda mark, said: lines.extend(f"{mark} {line}" for line in shown(said)),
    )
    session.greet()
    session.receive(b"STARTTLS\r\nMAIL FROM:<evil@x>\r\n")
    assert session.events() == [StartTls()]
    session.receive(b"RCPT TO:<c@d>\r\n")
    assert session.data_to_send().endswith(b"220 2.0.0 Ready to start TLS\r\n")
    session.tls_started(TLS)
    assert session.discarded_after_starttls == 35
    session.receive(b"DATA\r\n")
    assert session.data_to_send().startswith(b"503 ")
    assert "= 20 octets that came in clear behind STARTTLS are discarded" in lines
    assert "= TLS is on: TLSv1.3, TLS_AES_256_GCM_SHA384" in lines
    assert not any("evil" in line for line in lines)


def test_implicit_tls_comes_before_the_greeting_and_what_came_in_clear_is_discarded() -> None:
    session = Session(SessionOptions(starttls=True))
    session.receive(b"MAIL FROM:<evil@x>\r\n")
    session.tls_started(TLS)
    session.greet()
    assert session.data_to_send() == b"220 mailbell ESMTP mailbell\r\n"
    assert session.discarded_after_starttls == 20
    assert session.tls == TLS
    session.receive(b"STARTTLS\r\n")
    assert session.data_to_send().startswith(b"503 5.5.1 TLS is already on")


@pytest.mark.parametrize("begun", [MAIL, b"AUTH PLAIN AGEAYg==\r\n", None])
def test_what_is_held_is_bounded(begun: bytes | None) -> None:
    """A shell that stops reading never sees this; one that does not must not be filled up."""
    session = Session(SessionOptions())
    if begun is not None:
        session.greet()
        session.receive(begun)
        session.events()
        session.data_to_send()
    for _ in range(2 * HELD_LIMIT // 65536):
        session.receive(b"NOOP\r\n" * 10922)
        assert session.buffered <= HELD_LIMIT
    if begun is MAIL:
        assert not session.closed, "the mail is answered first"
        session.reply(STORED)
    assert session.closed
    assert session.data_to_send().endswith(
        b"421 4.7.0 Too much sent without waiting for replies: wait for each reply\r\n"
    )
    assert session.buffered == 0


# Command lines


@pytest.mark.parametrize("step", [1, 100, 10**6])
def test_a_command_line_has_a_limit(step: int) -> None:
    driver = Driver()
    for octets, code in [(b"NOOP " + b"x" * 4089 + b"\r\n", 250), (b"NOOP " + b"x" * 4090 + b"\r\n", 500)]:
        reply = driver.say_all(octets[i : i + step] for i in range(0, len(octets), step))
        assert reply.startswith(str(code))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_endless_command_line_is_never_held_and_keeps_its_line_end(end: bytes) -> None:
    session = started()
    for _ in range(100):
        session.receive(b"x" * 1000)
        assert session.buffered <= 4096
    session.receive(end)
    assert session.data_to_send().startswith(b"500 5.5.2 Command line too long")
    session.receive(b"MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\na\n.\n")
    assert bool(session.events()) == (end == b"\n")


def test_an_endless_response_ends_the_exchange() -> None:
    driver = Driver()
    driver.say(b"AUTH PLAIN\r\n")
    assert driver.codes(b"x" * 5000 + b"\r\nNOOP\r\n") == [500, 250]


# The end


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "without QUIT."),
        (b"EHLO", "without QUIT."),
        (b"MAIL FROM:<a@b>\r\n", "while it was about to name recipients."),
        (b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", "while it was about to send a message."),
        (
            MAIL[:-5] + b"12345678",
            "while it was sending a message; 11 octets of an unfinished mail are discarded.",
        ),
        (CHUNKED[:42], "while it was sending a chunk; 2 octets of an unfinished mail are discarded."),
        (CHUNKED[:43], "while it was between two chunks; 3 octets of an unfinished mail are discarded."),
        (b"AUTH LOGIN\r\n", "while it was authenticating."),
        (b"STARTTLS\r\n", "while it was starting TLS."),
    ],
)
def test_a_sentence_why_it_ended(said: bytes, reason: str) -> None:
    session = started(said, SessionOptions(starttls=True))
    session.receive_eof()
    assert close_reason(session) == f"The client closed the connection {reason}"
    assert session.closed
    assert session.buffered == 0


def test_gone_before_the_greeting() -> None:
    session = Session(SessionOptions())
    session.receive_eof()
    assert close_reason(session) == "The client closed the connection while it was waiting for its turn."
    session.greet()
    assert session.data_to_send() == b""


def test_what_was_sent_before_the_end_is_still_answered() -> None:
    """`printf … | nc`: everything at once, then the end, and replies are still read."""
    session = Session(SessionOptions())
    session.receive(MAIL + MAIL + b"QUIT\r\n")
    session.receive_eof()
    session.greet()
    for _ in range(2):
        (event,) = session.events()
        assert isinstance(event, MailComplete)
        session.reply(STORED)
    assert close_reason(session) == "The client said QUIT."
    assert session.data_to_send().count(b"250 2.0.0 OK 1\r\n") == 2


@pytest.mark.parametrize("said", [MAIL, b"AUTH PLAIN AGEAYg==\r\n"])
def test_an_answer_that_is_owed_is_waited_for(said: bytes) -> None:
    session = started(said)
    session.receive_eof()
    (event,) = session.events()
    assert not session.closed
    if isinstance(event, MailComplete):
        session.reply(STORED)
    else:
        session.credentials_checked(True)
    assert session.data_to_send().startswith(b"2")
    assert close_reason(session) == "The client closed the connection without QUIT."


def test_refused_instead_of_greeted() -> None:
    session = Session(SessionOptions())
    session.receive(b"EHLO me\r\n")
    session.refuse(Reply(554, "5.7.1", "Not from this network"), "192.0.2.1 is in no network of `allow`.")
    assert session.data_to_send() == b"554 5.7.1 Not from this network\r\n"
    assert session.events() == [Close("192.0.2.1 is in no network of `allow`.")]
    assert session.buffered == 0


@pytest.mark.parametrize("said", [b"", b"EHLO", MAIL[:30], MAIL[:-3], CHUNKED[:45], b"AUTH LOGIN\r\n"])
def test_shutdown_at_any_moment(said: bytes) -> None:
    session = started(said)
    session.shutdown(BUSY)
    assert session.data_to_send() == b"421 4.3.2 Closing down: try again\r\n"
    assert session.events() == [Close("The server closed the connection: Closing down: try again")]
    session.receive(MAIL)
    session.receive_eof()
    session.shutdown(BUSY)
    assert (session.data_to_send(), session.events()) == (b"", [])


def test_shutdown_answers_the_mail_that_is_being_stored_first() -> None:
    session = started(MAIL + MAIL)
    session.events()
    session.shutdown(BUSY)
    session.receive(MAIL)
    assert session.data_to_send() == b""
    session.reply(STORED)
    assert session.data_to_send() == b"250 2.0.0 OK 1\r\n421 4.3.2 Closing down: try again\r\n"
    assert close_reason(session).startswith("The server closed")


def test_shutdown_says_nothing_in_clear_during_a_handshake() -> None:
    session = started(b"STARTTLS\r\n", SessionOptions(starttls=True))
    session.events()
    session.shutdown(BUSY, "The handshake failed: unknown CA.")
    assert session.data_to_send() == b""
    assert close_reason(session) == "The handshake failed: unknown CA."


def test_answers_that_come_too_late_are_overlooked() -> None:
    for said in (MAIL, b"AUTH PLAIN AGEAYg==\r\n", b"STARTTLS\r\n"):
        session = started(said, SessionOptions(starttls=True))
        session.refuse(BUSY)
        if said is MAIL:
            session.reply(STORED)
        session.data_to_send()
        session.reply(STORED)
        session.credentials_checked(True)
        session.tls_started(TLS)
        session.greet()
        assert session.data_to_send() == b""
        assert session.auth_user is None


def test_an_answer_to_no_question_is_a_mistake_of_the_shell() -> None:
    session = started()
    with pytest.raises(LookupError):
        session.reply(STORED)
    with pytest.raises(LookupError):
        session.credentials_checked(True)
    with pytest.raises(LookupError):
        session.greet()
    assert session.data_to_send() == b""


def test_a_reply_of_421_to_a_mail_ends_the_session() -> None:
    session = started(MAIL + b"NOOP\r\n")
    session.events()
    session.reply(BUSY)
    assert session.data_to_send() == b"421 4.3.2 Closing down: try again\r\n"
    assert session.closed


def test_what_the_shell_asks_about() -> None:
    session = started()
    asked = []
    for data in (
        b"EHLO m\r\n",
        b"MAIL FROM:<a@b>\r\n",
        b"RCPT TO:<c@d>\r\n",
        b"DATA\r\n",
        b"123456789",
        b"\r\n.\r\n",
    ):
        session.receive(data)
        asked.append((session.in_transaction, session.receiving, session.paused, session.buffered))
    assert asked == [
        (False, False, False, 0),
        (True, False, False, 0),
        (True, False, False, 0),
        (True, True, False, 0),
        (True, True, False, 9),
        (True, False, True, 0),
    ]
    session.reply(STORED)
    assert not session.in_transaction
    assert repr(session) == "<Session READY helo='m' buffered=0>"


def test_without_a_transcript_nothing_is_recorded_and_all_is_the_same() -> None:
    session, driver = started(), Driver()
    session.receive(MAIL)
    session.events()
    session.reply(STORED)
    assert session.data_to_send().decode() == driver.say(MAIL)
