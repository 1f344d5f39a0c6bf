"""What real devices and clients do: each row of the device table of the SMTP side that is the session's."""

import base64

import pytest

from mailbell.smtp.session import SessionOptions
from tests.smtp.driver import Driver

END = b"RCPT TO:<c@d>\r\nDATA\r\nhi\r\n.\r\n"


def envelope(lines: bytes) -> tuple[str, tuple[str, ...]]:
    """Send these commands and a message; return the envelope of what is taken."""
    driver = Driver()
    driver.say(lines)
    assert len(driver.mails) == 1, driver.lines
    return driver.mails[0].envelope.mail_from, driver.mails[0].envelope.rcpt_to


@pytest.mark.parametrize(
    ("command", "sender"),
    [
        (b"MAIL FROM:a@b", "a@b"),
        (b"MAIL FROM: <a@b>", "a@b"),
        (b"MAIL FROM : <a@b>", "a@b"),
        (b'MAIL FROM:"Cam" <a@b>', "a@b"),
        (b"MAIL FROM:<a@b>.", "a@b"),
        (b"MAIL FROM:<a@b.>", "a@b."),
        (b"MAIL FROM:<T\xfcr@b>", "Tür@b"),
        ("MAIL FROM:<Tür@b>".encode(), "Tür@b"),
        (b"MAIL FROM:<camera>", "camera"),
        (b"MAIL FROM:", ""),
        (b"MAIL", ""),
        (b"MAIL FROM:<>", ""),
        (b"mail from:<a@b>", "a@b"),
        (b"Mail From: a@b", "a@b"),
        (b"MAIL FROM:<a@b>   ", "a@b"),
        (b"MAIL FROM:<a@b> AUTH=<>", "a@b"),
        (b"MAIL FROM:<a@b> RET=HDRS X-FOO", "a@b"),
        (b"HELO x\r\nMAIL FROM:<a@b> SIZE=100 BODY=8BITMIME SMTPUTF8", "a@b"),
    ],
)
def test_a_sender_is_what_stands_in_brackets_else_the_first_token(command: bytes, sender: str) -> None:
    assert envelope(command + b"\r\n" + END) == (sender, ("c@d",))


def test_a_size_over_the_limit_is_refused_at_once_even_after_helo() -> None:
    driver = Driver(SessionOptions(max_size=1000))
    assert driver.codes(b"HELO x\r\nMAIL FROM: <a@b> FOO SIZE=1001 BAR\r\n") == [250, 552]


def test_two_recipients_in_one_command() -> None:
    assert envelope(b"MAIL FROM:<a@b>\r\nRCPT TO:<x@y>,<z@y>\r\nDATA\r\n.\r\n") == ("a@b", ("x@y", "z@y"))


def test_no_recipient_says_where_to_set_one() -> None:
    driver = Driver()
    driver.say(b"MAIL FROM:<a@b>\r\n")
    for command in (b"RCPT TO:<>", b"RCPT TO:", b"RCPT"):
        assert driver.say(command + b"\r\n").startswith("501 5.1.3 No recipient given")


@pytest.mark.parametrize(
    ("hello", "name"),
    [
        (b"HELO", ""),
        (b"EHLO", ""),
        (b"HELO ", ""),
        (b"HELO front door", "front door"),
        (b"EHLO ip_cam_1", "ip_cam_1"),
        (b"EHLO 192.168.1.20", "192.168.1.20"),
        (b"EHLO [192.168.1.20]", "[192.168.1.20]"),
        (b"ehlo T\xfcr", "Tür"),
    ],
)
def test_any_hello(hello: bytes, name: str) -> None:
    driver = Driver()
    assert driver.codes(hello + b"\r\n") == [250]
    assert driver.session.helo == name


def test_no_hello_at_all_and_one_repeated() -> None:
    assert envelope(b"MAIL FROM:<a@b>\r\n" + END) == ("a@b", ("c@d",))
    assert Driver().codes(b"EHLO x\r\nEHLO x\r\nHELO x\r\n") == [250, 250, 250]


@pytest.mark.parametrize("hello", [b"HELO x\r\n", b"EHLO x\r\n", b""])
@pytest.mark.parametrize(
    ("lines", "user"),
    [
        (b"AUTH PLAIN AGNhbQBzZWNyZXQ=\r\n", "cam"),
        (b"auth plain AGNhbQBzZWNyZXQ=\r\n", "cam"),
        (b"AUTH PLAIN AGNhbQBzZWNyZXQ\r\n", "cam"),
        (b"AUTH PLAIN =\r\n", ""),
        (b"AUTH PLAIN\r\n=\r\n", ""),
        (b"AUTH PLAIN\r\n\r\n", ""),
        (b"AUTH LOGIN Y2Ft\r\nc2VjcmV0\r\n", "cam"),
        (b"AUTH LOGIN\r\n\r\n\r\n", ""),
        (b"AUTH LOGIN\r\n=\r\n=\r\n", ""),
        (b"AUTH LOGIN\r\nfront door\r\nsecret!\r\n", "front door"),
    ],
)
def test_any_authentication_is_accepted_and_its_user_recorded(hello: bytes, lines: bytes, user: str) -> None:
    driver = Driver()
    assert driver.codes(hello + lines)[-1] == 235
    assert driver.session.auth_user == user
    assert driver.codes(b"MAIL FROM:<a@b>\r\n" + END)[-1] == 250


def test_tls_on_a_port_without_it_is_told_so() -> None:
    """Where the port has TLS the shell sees the first octet; here it has not."""
    for data in (b"\x16\x03\x01\x02\x00\x01\x00", b"\x16\x03\x01\n\r\n", b"\x16"):
        driver = Driver()
        assert driver.say(data).startswith("421 4.7.0 This port speaks SMTP without TLS")
        assert driver.session.closed


DIALOGUE = b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n"


@pytest.mark.parametrize(
    "dialogue", [DIALOGUE, DIALOGUE.replace(b"EHLO", b"HELO"), DIALOGUE.replace(b"\r\n", b"\n")]
)
def test_a_whole_dialogue_in_one_packet(dialogue: bytes) -> None:
    driver = Driver()
    assert driver.codes(dialogue) == [250, 250, 250, 354, 250, 221]
    assert driver.raw == (b"hi\r\n" if b"\r\n" in dialogue else b"hi\n")


def test_the_mail_is_taken_at_the_dot_and_a_cut_line_is_normal() -> None:
    driver = Driver()
    assert driver.codes(DIALOGUE.removesuffix(b"QUIT\r\n"))[-1] == 250
    driver.session.receive_eof()
    driver.say(b"")
    assert driver.raw == b"hi\r\n"
    assert driver.reason == "The client closed the connection without QUIT."


def test_cut_before_the_dot() -> None:
    driver = Driver()
    driver.say(DIALOGUE.partition(b".\r\n")[0])
    driver.session.receive_eof()
    driver.say(b"")
    assert not driver.mails
    assert driver.reason == (
        "The client closed the connection while it was sending a message; "
        "4 octets of an unfinished mail are discarded."
    )


@pytest.mark.parametrize("length", [998, 2000, 600_000])
def test_long_lines(length: int) -> None:
    line = base64.b64encode(b"x" * length)[:length]
    driver = Driver()
    driver.say(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n" + line + b"\r\n.\r\n")
    assert driver.raw == line + b"\r\n"


def test_an_empty_message_and_one_without_a_header() -> None:
    for content in (b"", b"\r\n", b"just text"):
        driver = Driver()
        lead = content + b"\r\n" if content == b"just text" else content
        assert driver.codes(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n" + lead + b".\r\n")[-1] == 250
        assert driver.raw == lead
