"""Replies on the wire, and the rules that all of them keep."""

import pytest

from mailbell.smtp import replies
from mailbell.smtp.replies import Reply

ALL = {name: value for name, value in vars(replies).items() if isinstance(value, Reply)}


def test_one_line() -> None:
    reply = Reply(250, "2.0.0", "OK")
    assert reply.wire == b"250 2.0.0 OK\r\n"
    assert reply.lines == ("250 2.0.0 OK",)


def test_each_line_has_code_and_enhanced_code() -> None:
    assert Reply(214, "2.0.0", "a\nb\nc").wire == b"214-2.0.0 a\r\n214-2.0.0 b\r\n214 2.0.0 c\r\n"
    assert Reply(250, "", "a\nb").wire == b"250-a\r\n250 b\r\n"


def test_a_text_from_the_settings_forges_no_line() -> None:
    assert Reply(550, "5.7.1", "no\r250 OK").wire == b"550 5.7.1 no 250 OK\r\n"
    assert Reply(550, "5.7.1", "no\r\n250 OK").wire == b"550-5.7.1 no \r\n550 5.7.1 250 OK\r\n"


def test_text_that_is_not_ascii() -> None:
    assert Reply(550, "5.7.1", "zurück \udc80").wire == "550 5.7.1 zurück ?\r\n".encode()


@pytest.mark.parametrize("reply", ALL.values(), ids=ALL.keys())
def test_of_all_replies(reply: Reply) -> None:
    assert reply.wire.isascii()
    assert reply.text.strip()
    assert all(len(line) + 2 <= 512 for line in reply.lines), "RFC 5321 §4.5.3.1.5"
    if reply.code == 354:
        assert reply.enhanced == "", "RFC 2034 §4"
    else:
        assert reply.enhanced.split(".")[0] == str(reply.code)[0]


def test_the_extensions() -> None:
    lines = replies.extended_hello("bell", 1000, True, ("PLAIN", "LOGIN")).lines
    assert lines[0] == "250-bell"
    assert {line[4:] for line in lines[1:]} == {
        "PIPELINING",
        "SIZE 1000",
        "8BITMIME",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
        "CHUNKING",
        "STARTTLS",
        "AUTH PLAIN LOGIN",
        "AUTH=PLAIN LOGIN",
        "HELP",
    }
    plain = replies.extended_hello("bell", 1000, False, ()).text
    assert "STARTTLS" not in plain
    assert "AUTH" not in plain


def test_the_greeting_names_host_and_esmtp() -> None:
    assert replies.greeting("bell.lan").wire == b"220 bell.lan ESMTP mailbell\r\n"
