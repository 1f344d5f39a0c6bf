"""Commands and their answers."""

import base64
import hmac
from typing import Any

import pytest

from mailbell.mail import Envelope
from mailbell.smtp import replies
from mailbell.smtp.replies import Reply
from mailbell.smtp.session import Credentials, MailComplete, SessionOptions, StartTls
from tests.smtp.driver import STORED, TLS, Driver

BEGIN = b"EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
MAIL = BEGIN + b"DATA\r\nSubject: x\r\n\r\nhi\r\n.\r\n"
REQUIRED = SessionOptions(auth="required", starttls=True)
REFUSED = Reply(451, "4.3.0", "Not now")


def b64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


# A mail


def test_one_mail() -> None:
    driver = Driver(SessionOptions(hostname="bell.lan"))
    assert driver.greeting == "220 bell.lan ESMTP mailbell\r\n"
    assert driver.say(b"HELO me\r\n") == "250 bell.lan\r\n"
    assert driver.session.helo == "me"
    assert driver.say(b"MAIL FROM:<a@b>\r\n") == "250 2.1.0 Sender OK\r\n"
    assert driver.say(b"RCPT TO:<c@d>\r\n") == "250 2.1.5 Recipient OK\r\n"
    assert driver.say(b"DATA\r\n").startswith("354 ")
    assert driver.say(b"Subject: x\r\n\r\n..hi\r\n.\r\n") == "250 2.0.0 OK 1\r\n"
    assert driver.say(b"QUIT\r\n") == "221 2.0.0 Bye\r\n"
    assert driver.mails == [MailComplete(Envelope("a@b", ("c@d",)), b"Subject: x\r\n\r\n.hi\r\n")]
    assert driver.reason == "The client said QUIT."
    assert driver.session.closed


def test_many_mails_in_one_session_share_nothing() -> None:
    driver = Driver()
    driver.say(MAIL)
    driver.say(b"MAIL FROM:<>\r\nRCPT TO:<x@y>\r\nRCPT TO:<z@y>\r\nDATA\r\n.\r\n")
    assert [mail.envelope for mail in driver.mails] == [
        Envelope("a@b", ("c@d",)),
        Envelope("", ("x@y", "z@y")),
    ]
    assert driver.mails[1].raw == b""


def test_the_reply_to_a_mail_is_the_shells() -> None:
    driver = Driver()
    driver.answer = REFUSED
    assert driver.say(MAIL).endswith("451 4.3.0 Not now\r\n")
    assert driver.say(b"DATA\r\n").startswith("503 5.5.1 "), "the transaction is over"


def test_ehlo_lists_the_extensions() -> None:
    lines = Driver(SessionOptions(max_size=1000)).say(b"EHLO me\r\n").splitlines()
    assert lines == list(replies.extended_hello("mailbell", 1000, False, ("PLAIN", "LOGIN")).lines)


# Order


@pytest.mark.parametrize("command", [b"RSET", b"EHLO me", b"HELO me"])
@pytest.mark.parametrize("begun", [b"", b"RCPT TO:<c@d>\r\n", b"RCPT TO:<c@d>\r\nBDAT 2\r\nxy"])
def test_what_abandons_a_mail(command: bytes, begun: bytes) -> None:
    driver = Driver()
    driver.say(b"MAIL FROM:<a@b>\r\n" + begun)
    assert driver.codes(command + b"\r\n") == [250]
    assert not driver.session.in_transaction
    assert driver.session.buffered == 0
    assert driver.codes(b"RCPT TO:<c@d>\r\n") == [503]


@pytest.mark.parametrize(
    ("before", "command", "words"),
    [
        (b"", b"RCPT TO:<a@b>", "MAIL FROM"),
        (b"", b"DATA", "MAIL FROM"),
        (b"", b"BDAT 0 LAST", "MAIL FROM"),
        (b"MAIL FROM:<a@b>\r\n", b"DATA", "RCPT TO"),
        (b"MAIL FROM:<a@b>\r\n", b"BDAT 0 LAST", "RCPT TO"),
        (b"MAIL FROM:<a@b>\r\n", b"MAIL FROM:<a@b>", "RSET"),
        (BEGIN, b"MAIL FROM:<a@b>", "RSET"),
        (BEGIN, b"AUTH PLAIN", "RSET"),
        (BEGIN, b"STARTTLS", "RSET"),
        (BEGIN + b"BDAT 0\r\n", b"DATA", "BDAT"),
        (BEGIN + b"BDAT 0\r\n", b"MAIL FROM:<a@b>", "BDAT"),
        (BEGIN + b"BDAT 0\r\n", b"RCPT TO:<a@b>", "BDAT"),
    ],
)
def test_out_of_order_says_what_comes_first(before: bytes, command: bytes, words: str) -> None:
    driver = Driver()
    driver.say(before)
    reply = driver.say(command + b"\r\n")
    assert reply.startswith("503 5.5.1 ")
    assert words in reply


@pytest.mark.parametrize("before", [b"", b"MAIL FROM:<a@b>\r\n", BEGIN, BEGIN + b"BDAT 1\r\nx"])
@pytest.mark.parametrize(
    ("command", "start"),
    [
        (b"NOOP", "250 2.0.0 "),
        (b"NOOP what ever", "250 2.0.0 "),
        (b"VRFY a@b", "252 2.5.0 "),
        (b"EXPN list", "252 2.5.0 "),
        (b"HELP", "214-2.0.0 "),
        (b"SEND FROM:<a@b>", "502 5.5.1 "),
        (b"SOML FROM:<a@b>", "502 5.5.1 "),
        (b"SAML FROM:<a@b>", "502 5.5.1 "),
        (b"TURN", "502 5.5.1 "),
        (b"ETRN x", "502 5.5.1 "),
        (b"XYZ", "500 5.5.1 "),
        (b"", "500 5.5.2 "),
        (b"   ", "500 5.5.2 "),
    ],
)
def test_what_changes_nothing_wherever_it_comes(before: bytes, command: bytes, start: str) -> None:
    driver = Driver()
    driver.say(before)
    state = driver.session.in_transaction, driver.session.receiving, driver.session.buffered
    assert driver.say(command + b"\r\n").startswith(start)
    assert (driver.session.in_transaction, driver.session.receiving, driver.session.buffered) == state


@pytest.mark.parametrize("command", [b"DATA x", b"RSET x", b"QUIT x", b"DATA ", b"data"])
def test_superfluous_arguments_are_overlooked(command: bytes) -> None:
    driver = Driver()
    driver.say(BEGIN)
    assert driver.codes(command + b"\r\n")[0] < 400


def test_a_web_browser_is_sent_away() -> None:
    driver = Driver()
    assert driver.say(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n" + MAIL).startswith(
        "421 4.7.0 This is a mail server"
    )
    assert not driver.mails
    assert driver.session.closed


# Limits


def test_a_declared_size_over_the_limit_is_refused_at_once() -> None:
    driver = Driver(SessionOptions(max_size=1000))
    assert driver.say(b"MAIL FROM:<a@b> SIZE=1001\r\n").startswith("552 5.3.4 ")
    assert driver.say(b"MAIL FROM:<a@b> SIZE=1000\r\n").startswith("250 ")


def test_a_message_over_the_limit_is_refused_after_its_end_and_never_held() -> None:
    driver = Driver(SessionOptions(max_size=1000))
    driver.say(BEGIN + b"DATA\r\n")
    for _ in range(50):
        assert driver.say(b"x" * 98 + b"\r\n") == ""
        assert driver.session.buffered <= 1000
    assert driver.say(b".\r\n").startswith("552 5.3.4 ")
    assert not driver.mails
    assert not driver.session.in_transaction
    assert driver.codes(MAIL)[-1] == 250


def test_a_message_as_large_as_the_limit_is_taken() -> None:
    driver = Driver(SessionOptions(max_size=6))
    assert driver.codes(BEGIN + b"DATA\r\n..abc\r\n.\r\n")[-1] == 250, "the stuffed dot does not count"
    assert driver.codes(BEGIN + b"DATA\r\nabcde\r\n.\r\n")[-1] == 552


def test_recipients_over_the_limit_are_refused_and_the_others_kept() -> None:
    driver = Driver(SessionOptions(max_recipients=3))
    driver.say(b"MAIL FROM:<a@b>\r\nRCPT TO:<1@d>\r\nRCPT TO:<2@d>\r\n")
    assert driver.say(b"RCPT TO:<3@d>,<4@d>\r\n").startswith("452 4.5.3 ")
    assert driver.codes(b"RCPT TO:<3@d>\r\n") == [250]
    assert driver.say(b"RCPT TO:<4@d>\r\n").startswith("452 4.5.3 ")
    driver.say(b"DATA\r\n.\r\n")
    assert driver.mails[0].envelope.rcpt_to == ("1@d", "2@d", "3@d")


def test_twenty_errors_are_answered_then_comes_421() -> None:
    driver = Driver()
    assert driver.codes(b"XYZ\r\n" * 21 + MAIL) == [500] * 20 + [421]
    assert driver.session.closed
    assert driver.reason == "The client made too many errors."


def test_a_mail_that_is_taken_makes_up_for_errors() -> None:
    driver = Driver(SessionOptions(max_errors=2))
    for _ in range(3):
        assert driver.codes(b"XYZ\r\nXYZ\r\n" + MAIL)[-1] == 250


# Hooks


def test_the_checks_are_asked_and_a_reply_of_theirs_refuses() -> None:
    asked: list[object] = []

    def check_sender(address: str, size: int) -> Reply | None:
        asked.append((address, size))
        return REFUSED if address == "bad@b" else None

    def check_recipient(address: str) -> Reply | None:
        asked.append(address)
        return REFUSED if address == "bad@d" else None

    driver = Driver(check_sender=check_sender, check_recipient=check_recipient)
    assert driver.codes(b"MAIL FROM:<bad@b> SIZE=7\r\nRCPT TO:<c@d>\r\n") == [451, 503]
    assert driver.codes(b"MAIL FROM:<a@b>\r\nRCPT TO:<bad@d>\r\nDATA\r\n") == [250, 451, 503]
    assert driver.codes(b"RCPT TO:<c@d>,<bad@d>\r\nDATA\r\n") == [451, 503], "all or none"
    assert driver.codes(b"RCPT TO:<c@d>\r\nDATA\r\n.\r\n") == [250, 354, 250]
    assert asked == [("bad@b", 7), ("a@b", 0), "bad@d", "c@d", "bad@d", "c@d"]


def test_data_refused_leaves_the_mail_as_it_was() -> None:
    answers: list[Reply | None] = [REFUSED, None]
    driver = Driver(check_data=lambda: answers.pop(0))
    assert driver.codes(BEGIN + b"DATA\r\n")[-1] == 451
    assert driver.codes(b"DATA\r\n.\r\n") == [354, 250]


def test_data_is_checked_at_the_first_chunk_only_and_a_refused_chunk_is_no_command() -> None:
    answers: list[Reply | None] = [REFUSED, None]
    driver = Driver(check_data=lambda: answers.pop(0))
    assert driver.codes(BEGIN + b"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n")[-2:] == [451, 503]
    assert driver.codes(BEGIN + b"BDAT 1\r\nxBDAT 1 LAST\r\ny")[-2:] == [250, 250]
    assert driver.raw == b"xy"


@pytest.mark.parametrize("hook", ["check_sender", "check_recipient", "check_data"])
def test_a_check_may_end_the_session(hook: str) -> None:
    hooks: dict[str, Any] = {hook: lambda *_: Reply(421, "4.3.2", "Closing")}
    driver = Driver(**hooks)
    assert driver.codes(MAIL)[-1] == 421
    assert driver.session.closed
    assert driver.reason == "The server closed the connection: Closing"


# BDAT


def test_chunks_become_one_message_whatever_they_hold() -> None:
    driver = Driver()
    first, second = b"a\r\n.\r\nQUIT\r\n..", b"\n.\n\0\xff"
    assert driver.codes(BEGIN + b"BDAT %d\r\n" % len(first) + first)[-1] == 250
    assert driver.session.receiving
    assert driver.codes(b"BDAT %d LAST\r\n" % len(second) + second) == [250]
    assert driver.raw == first + second
    assert not driver.session.receiving


def test_data_and_bdat_in_one_session() -> None:
    driver = Driver()
    driver.say(
        MAIL + b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3 LAST\r\nxyzMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
    )
    driver.say(b"BDAT 2\r\nxyBDAT 0 LAST\r\n" + MAIL)
    assert [mail.raw for mail in driver.mails] == [
        b"Subject: x\r\n\r\nhi\r\n",
        b"xyz",
        b"xy",
        b"Subject: x\r\n\r\nhi\r\n",
    ]


def test_chunks_over_the_limit_are_read_and_dropped() -> None:
    driver = Driver(SessionOptions(max_size=10))
    assert driver.codes(BEGIN + b"BDAT 8\r\n12345678BDAT 6\r\nQUIT\r\nNOOP\r\n")[-3:] == [250, 552, 250]
    assert not driver.session.in_transaction
    assert driver.codes(BEGIN + b"BDAT 10 LAST\r\n1234567890")[-1] == 250


def test_an_endless_chunk_is_never_held() -> None:
    driver = Driver(SessionOptions(max_size=10))
    driver.say(BEGIN + b"BDAT 99999999999999999999\r\n")
    assert driver.session.receiving
    for _ in range(20):
        assert driver.say(b"QUIT\r\n" * 100) == ""
        assert driver.session.buffered == 0


@pytest.mark.parametrize("argument", [b"", b"x", b"-1", b"1 FIRST"])
def test_a_chunk_of_unknown_size_ends_the_session(argument: bytes) -> None:
    """What follows may be content, and must not be read as commands."""
    driver = Driver()
    assert driver.codes(BEGIN + b"BDAT " + argument + b"\r\n" + MAIL)[-1] == 501
    assert driver.session.closed
    assert not driver.mails


# STARTTLS


def test_starttls() -> None:
    driver = Driver(SessionOptions(starttls=True))
    assert "250-STARTTLS\r\n" in driver.say(b"EHLO before\r\n")
    assert driver.say(b"STARTTLS\r\n") == "220 2.0.0 Ready to start TLS\r\n"
    assert StartTls() in driver.seen
    assert driver.session.tls == TLS
    assert driver.session.helo == "", "RFC 3207 §4.2"
    assert "STARTTLS" not in driver.say(b"EHLO after\r\n")
    assert driver.say(b"STARTTLS\r\n").startswith("503 5.5.1 ")
    assert driver.codes(MAIL)[-1] == 250


def test_starttls_where_tls_is_off() -> None:
    assert Driver().say(b"STARTTLS\r\n").startswith("502 5.5.1 TLS is switched off")


def test_nothing_said_before_the_handshake_holds_after_it() -> None:
    driver = Driver(SessionOptions(starttls=True))
    driver.say(b"EHLO me\nAUTH PLAIN AGNhbQB4\n")
    users = [driver.session.auth_user]
    driver.say(b"STARTTLS\n")
    assert [*users, driver.session.auth_user] == ["cam", None]
    driver.say(BEGIN + b"DATA\r\na\n.\nb\r\n.\r\n")
    assert driver.raw == b"a\n.\nb\r\n", "a bare-LF device before, a CRLF client now"


# AUTH


@pytest.mark.parametrize("options", [SessionOptions(), SessionOptions(auth="required", auth_plaintext=True)])
@pytest.mark.parametrize(
    ("lines", "mechanism"),
    [
        ([b"AUTH PLAIN " + b64(b"\0cam\0secret")], "PLAIN"),
        ([b"AUTH PLAIN", b64(b"\0cam\0secret")], "PLAIN"),
        ([b"auth plain", b64(b"\0cam\0secret")], "PLAIN"),
        ([b"AUTH LOGIN", b64(b"cam"), b64(b"secret")], "LOGIN"),
        ([b"AUTH LOGIN " + b64(b"cam"), b64(b"secret")], "LOGIN"),
        ([b"auth login", b64(b"cam"), b64(b"secret")], "LOGIN"),
    ],
)
def test_authentication(options: SessionOptions, lines: list[bytes], mechanism: str) -> None:
    driver = Driver(options)
    codes = [driver.codes(line + b"\r\n") for line in lines]
    assert codes == [[334]] * (len(lines) - 1) + [[235]]
    assert driver.credentials == [Credentials(mechanism, "cam", "secret")]
    assert driver.session.auth_user == "cam"
    assert driver.codes(MAIL)[-1] == 250
    assert driver.codes(b"AUTH PLAIN\r\n") == [503]


def test_the_prompts_of_login_are_exact() -> None:
    driver = Driver()
    assert driver.say(b"AUTH LOGIN\r\n") == "334 VXNlcm5hbWU6\r\n"
    assert driver.say(b64(b"cam") + b"\r\n") == "334 UGFzc3dvcmQ6\r\n"
    assert driver.say(b64(b"x") + b"\r\n") == "235 2.7.0 Authenticated\r\n"


@pytest.mark.parametrize("initial", [b"", b" dGlt"])
def test_cram_md5(initial: bytes) -> None:
    challenge = b"<1@bell>"
    driver = Driver(challenge=lambda: challenge)
    assert "AUTH PLAIN LOGIN CRAM-MD5\r\n" in driver.say(b"EHLO me\r\n")
    assert driver.say(b"AUTH CRAM-MD5" + initial + b"\r\n") == f"334 {b64(challenge).decode()}\r\n"
    digest = hmac.new(b"secret", challenge, "md5").hexdigest()
    assert driver.codes(b64(b"cam " + digest.encode()) + b"\r\n") == [235]
    assert driver.credentials == [Credentials("CRAM-MD5", "cam", None, challenge, digest)]


def test_cram_md5_without_challenges_and_other_mechanisms() -> None:
    driver = Driver()
    for mechanism in (b"CRAM-MD5", b"NTLM", b"GSSAPI", b"XOAUTH2 abc", b""):
        assert driver.say(b"AUTH " + mechanism + b"\r\n").startswith("504 5.5.4 ")


def test_wrong_credentials_count_as_errors() -> None:
    driver = Driver(SessionOptions(auth="required", auth_plaintext=True, max_errors=3), accept=False)
    attempt = b"AUTH PLAIN " + b64(b"\0cam\0wrong") + b"\r\n"
    assert [driver.codes(attempt)[0] for _ in range(4)] == [535, 535, 535, 421]
    assert driver.session.auth_user is None


def test_the_shell_may_answer_credentials_in_its_own_words() -> None:
    driver = Driver()
    driver.session.receive(b"AUTH PLAIN " + b64(b"\0cam\0x") + b"\r\n")
    driver.session.credentials_checked(False, Reply(454, "4.7.0", "Too many attempts: wait a minute"))
    assert driver.session.data_to_send() == b"454 4.7.0 Too many attempts: wait a minute\r\n"
    assert driver.session.auth_user is None


def test_required_takes_no_mail_before() -> None:
    driver = Driver(SessionOptions(auth="required", auth_plaintext=True))
    assert driver.say(b"MAIL FROM:<a@b>\r\n").startswith("530 5.7.0 Authentication required: ")
    driver.say(b"AUTH PLAIN " + b64(b"\0cam\0secret") + b"\r\n")
    assert driver.codes(MAIL)[-1] == 250


def test_required_wants_tls() -> None:
    driver = Driver(REQUIRED)
    assert "AUTH" not in driver.say(b"EHLO me\r\n")
    assert driver.say(b"MAIL FROM:<a@b>\r\n").startswith("530 5.7.0 Authentication required, under TLS: ")
    assert driver.say(b"AUTH PLAIN " + b64(b"\0cam\0secret") + b"\r\n").startswith("538 5.7.11 ")
    assert not driver.credentials
    driver.say(b"STARTTLS\r\n")
    assert "AUTH PLAIN LOGIN\r\n" in driver.say(b"EHLO me\r\n")
    assert driver.codes(b"AUTH PLAIN " + b64(b"\0cam\0secret") + b"\r\n") == [235]


@pytest.mark.parametrize(
    "attempt",
    [b"PLAIN " + b64(b"\0cam\0"), b"PLAIN " + b64(b"cam"), b"PLAIN =", b"LOGIN " + b64(b"cam") + b"\r\n"],
)
def test_required_never_takes_an_empty_password(attempt: bytes) -> None:
    driver = Driver(SessionOptions(auth="required", auth_plaintext=True))
    assert driver.say(b"AUTH " + attempt + b"\r\n").splitlines()[-1].startswith("535 5.7.8 ")
    assert not driver.credentials, "nobody is even asked"


def test_off() -> None:
    driver = Driver(SessionOptions(auth="off"))
    assert "AUTH" not in driver.say(b"EHLO me\r\n")
    assert driver.say(b"AUTH PLAIN AGNhbQB4\r\n").startswith("502 5.5.1 Authentication is switched off")
    assert driver.codes(MAIL)[-1] == 250


@pytest.mark.parametrize("line", [b"!!!!", b"Y", b"\xff"])
def test_what_is_not_base64_is_refused_where_it_matters(line: bytes) -> None:
    driver = Driver(SessionOptions(auth="required", auth_plaintext=True))
    driver.say(b"AUTH LOGIN\r\n")
    assert driver.say(line + b"\r\n").startswith("501 5.5.2 ")
    assert driver.codes(b"NOOP\r\n") == [250], "the exchange is over"


@pytest.mark.parametrize("begin", [b"AUTH PLAIN\r\n", b"AUTH LOGIN\r\n", b"AUTH LOGIN Y2Ft\r\n"])
def test_an_exchange_can_be_cancelled(begin: bytes) -> None:
    driver = Driver()
    driver.say(begin)
    assert driver.say(b"*\r\n").startswith("501 5.7.0 ")
    assert driver.codes(b"NOOP\r\n") == [250]
    assert not driver.credentials


def test_cram_md5_without_sense() -> None:
    driver = Driver(challenge=lambda: b"<1@x>")
    driver.say(b"AUTH CRAM-MD5\r\n")
    assert driver.say(b64(b"nonsense") + b"\r\n").startswith("501 5.5.2 ")


# Transcripts


def test_the_transcript_of_a_mail() -> None:
    driver = Driver()
    driver.say(b"HELO m\xff\r\n" + MAIL.partition(b"\r\n")[2] + b"QUIT\r\n")
    assert driver.lines == [
        "> 220 mailbell ESMTP mailbell",
        "< HELO m\\xff",
        "> 250 mailbell",
        "< MAIL FROM:<a@b>",
        "> 250 2.1.0 Sender OK",
        "< RCPT TO:<c@d>",
        "> 250 2.1.5 Recipient OK",
        "< DATA",
        "> 354 Send the message, then a line with only a dot",
        "< (18 octets of message)",
        f"> {STORED.lines[0]}",
        "< QUIT",
        "> 221 2.0.0 Bye",
    ]


def test_every_line_of_a_reply_is_in_the_transcript() -> None:
    driver = Driver()
    wire = driver.say(b"EHLO me\r\nHELP\r\n")
    assert [line[2:] for line in driver.lines[1:] if line[0] == ">"] == wire.splitlines()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"AUTH PLAIN c2VjcmV0", "AUTH PLAIN ***"),
        (b"auth login c2VjcmV0", "auth login ***"),
        (b" AUTH\tPLAIN c2VjcmV0", "AUTH PLAIN ***"),
        (b"AUTH PLAIN", "AUTH PLAIN"),
        (b"AUTH NTLM", "AUTH NTLM"),
        (b"AUTH", "AUTH"),
        (b"AUTH c2VjcmV0", "AUTH ***"),
        (b"AUTH PLAIN=c2VjcmV0", "AUTH ***"),
        (b"AUTH PLAINc2VjcmV0 c2VjcmV0", "AUTH ***"),
        (b"AUTH=PLAIN c2VjcmV0", "***"),
        (b"AUTHc2VjcmV0", "***"),
    ],
)
@pytest.mark.parametrize("auth", ["off", "any", "required"])
def test_credentials_are_masked(line: bytes, shown: str, auth: str) -> None:
    driver = Driver(SessionOptions(auth=auth))  # type: ignore[arg-type]  # a parameter of the test
    driver.say(line + b"\r\n")
    assert f"< {shown}" in driver.lines
    assert "c2VjcmV0" not in "".join(driver.lines)


@pytest.mark.parametrize("auth", ["off", "any", "required"])
def test_an_impatient_login_is_masked_even_where_it_is_refused(auth: str) -> None:
    """Some devices send user and password without looking at the replies."""
    driver = Driver(SessionOptions(auth=auth), challenge=lambda: b"<1@x>")  # type: ignore[arg-type]
    driver.say(b"AUTH LOGIN\r\nY2FtZXJh\r\nc2VjcmV0\r\nAUTH CRAM-MD5\r\nc2VjcmV0\r\nNOOP\r\nwhat is this\r\n")
    transcript = "\n".join(driver.lines)
    assert "Y2FtZXJh" not in transcript
    assert "c2VjcmV0" not in transcript
    assert "< NOOP" in driver.lines
    assert "< what is this" in driver.lines


def test_the_user_is_noted() -> None:
    driver = Driver()
    driver.say(b"AUTH PLAIN AGNhbQB4\r\n")
    assert "= authenticated as cam" in driver.lines
