"""Reading command lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.smtp.commands import Command, is_http, parse


@pytest.mark.parametrize("command", Command)
def test_each_command_in_any_case(command: Command) -> None:
    for verb in (command.upper(), command.lower(), command.title()):
        assert parse(verb.encode()) == (command, b"")
        assert parse(verb.encode() + b" x y ") == (command, b"x y ")


@pytest.mark.parametrize(
    "line", [b" MAIL FROM:<a@b>", b"MAIL\tFROM:<a@b>", b"mAIL   FROM:<a@b>", b"\tmail FROM:<a@b>"]
)
def test_blanks_around_the_verb(line: bytes) -> None:
    command, argument = parse(line)
    assert command is Command.MAIL
    assert argument.strip() == b"FROM:<a@b>"


def test_a_stray_cr_behind_the_verb() -> None:
    assert parse(b"QUIT\r") == (Command.QUIT, b"")


@pytest.mark.parametrize("line", [b"", b" ", b"XYZ", b"MAILFROM:<a@b>", b"\0", b"\xff\xfe", b"=?", b"DATAx"])
def test_unknown(line: bytes) -> None:
    assert parse(line)[0] is None


@given(st.binary(max_size=60))
def test_no_line_raises(line: bytes) -> None:
    command, argument = parse(line)
    assert argument in line
    assert command is None or command.encode() in line.upper()


def test_a_web_browser_is_told_apart() -> None:
    assert is_http(b"GET / HTTP/1.1")
    assert is_http(b"POST /x HTTP/1.0")
    assert not is_http(b"GETX")
    assert not is_http(b"MAIL FROM:<get@x>")
