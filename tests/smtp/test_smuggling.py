"""SMTP smuggling: what is content for one server is never a second mail for us, over DATA and over BDAT."""

import pytest

from mailbell.smtp.session import SessionOptions
from tests.smtp.driver import Driver

SEQUENCES = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n.\r",
    b"\r.\n",
    b"\r\n.\r\r\n",
    b"\r\n\0.\r\n",
    b"\r\n. \r\n",
    b"\r\n.\0\r\n",
]
SECOND = b"MAIL FROM:<evil@x>\r\nRCPT TO:<c@d>\r\nDATA\r\nevil\r\n"
BEGIN = b"EHLO relay\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("step", [1, 3, 10**6], ids=["byte by byte", "in threes", "whole"])
@pytest.mark.parametrize("body", [b"first", b""], ids=["inside", "at the start"])
def test_in_data_it_is_content(sequence: bytes, step: int, body: bytes) -> None:
    driver = Driver()
    octets = BEGIN + b"DATA\r\n" + body + sequence + SECOND + b".\r\nQUIT\r\n"
    driver.say_all(octets[i : i + step] for i in range(0, len(octets), step))
    assert driver.raw == (body + sequence).replace(b"\r\n.", b"\r\n") + SECOND
    assert driver.mails[0].envelope.mail_from == "a@b"
    assert driver.reason == "The client said QUIT."


@pytest.mark.parametrize("sequence", [*SEQUENCES, b"\r\n.\r\n"])
@pytest.mark.parametrize("step", [1, 10**6], ids=["byte by byte", "whole"])
@pytest.mark.parametrize("cut", [None, 1, 2, 3], ids=lambda cut: f"cut {cut}")
def test_in_chunks_it_is_content(sequence: bytes, step: int, cut: int | None) -> None:
    """Whole in one chunk, or with a chunk's border within the sequence."""
    driver = Driver()
    content = b"first" + sequence + SECOND
    border = len(content) if cut is None else 5 + cut
    first, second = content[:border], content[border:]
    octets = BEGIN + b"BDAT %d\r\n%bBDAT %d LAST\r\n%bQUIT\r\n" % (len(first), first, len(second), second)
    driver.say_all(octets[i : i + step] for i in range(0, len(octets), step))
    assert driver.raw == content
    assert driver.reason == "The client said QUIT."


@pytest.mark.parametrize("sequence", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r\n"])
def test_of_a_bare_lf_device_it_is_the_end(sequence: bytes) -> None:
    driver = Driver()
    driver.say(BEGIN.replace(b"\r\n", b"\n") + b"DATA\nfirst" + sequence + b"QUIT\n")
    assert driver.raw == b"first" + sequence.partition(b".")[0]
    assert driver.reason == "The client said QUIT."


@pytest.mark.parametrize("line", range(5))
def test_a_session_that_mixes_line_ends_is_held_to_crlf(line: int) -> None:
    lines = [b"EHLO me", b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>", b"NOOP", b"DATA"]
    ends = [b"\r\n" if number == line else b"\n" for number in range(5)]
    driver = Driver()
    driver.say(
        b"".join(word + end for word, end in zip(lines, ends, strict=True))
        + b"first\n.\n"
        + SECOND
        + b".\r\n"
    )
    assert driver.raw == b"first\n.\n" + SECOND


def test_the_second_mail_of_a_device_is_read_by_all_that_it_has_said() -> None:
    driver = Driver()
    lf = BEGIN.replace(b"\r\n", b"\n") + b"DATA\n"
    driver.say(lf + b"one\n.\n")
    driver.say(b"RSET\r\n" + lf + b"two\n.\nstill two\r\n.\r\n")
    assert [mail.raw for mail in driver.mails] == [b"one\n", b"two\n.\nstill two\r\n"]


REJECT = SessionOptions(bare_lf="reject")


def test_reject_takes_no_command_that_ends_in_a_bare_lf() -> None:
    driver = Driver(REJECT)
    assert driver.say(b"EHLO me\n").startswith("500 5.5.2 Line ends in a bare LF")
    assert driver.session.helo == ""
    assert driver.codes(b"\n") == [500]
    assert driver.codes(b"EHLO me\r\n") == [250]
    assert driver.codes(b"AUTH LOGIN\r\nY2Ft\nNOOP\r\n") == [334, 500, 250], "the exchange is over"


@pytest.mark.parametrize("step", [1, 100])
def test_a_cr_that_ends_a_chunk_is_no_part_of_the_line_behind_it(step: int) -> None:
    driver = Driver(REJECT)
    octets = BEGIN + b"BDAT 2\r\nx\r\nNOOP\r\n"
    replies = driver.say_all(octets[i : i + step] for i in range(0, len(octets), step))
    assert [line[:3] for line in replies.splitlines()][-3:] == ["250", "500", "250"]


@pytest.mark.parametrize("content", [b"a\nb\r\n", b"\n", b"a\r\n\nb\r\n"])
def test_reject_takes_no_message_with_a_bare_lf(content: bytes) -> None:
    driver = Driver(REJECT)
    driver.say(BEGIN)
    assert driver.say(b"DATA\r\n" + content + b"\r\n.\r\n").splitlines()[-1].startswith("550 5.6.0 ")
    assert driver.codes(BEGIN + b"BDAT %d LAST\r\n" % len(content) + content)[-1] == 550
    assert not driver.mails
    assert driver.codes(BEGIN + b"DATA\r\na\r\rb\r\n.\r\n")[-1] == 250
