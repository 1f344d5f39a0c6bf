"""The commands, and how one is read from a line."""

from enum import StrEnum, unique


@unique
class Command(StrEnum):
    """The words that a client may say: RFC 5321 §4.1.1, its extensions, and what RFC 821 had besides."""

    HELO = "HELO"
    EHLO = "EHLO"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BDAT = "BDAT"
    RSET = "RSET"
    NOOP = "NOOP"
    QUIT = "QUIT"
    VRFY = "VRFY"
    EXPN = "EXPN"
    HELP = "HELP"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    SEND = "SEND"
    SOML = "SOML"
    SAML = "SAML"
    TURN = "TURN"
    ETRN = "ETRN"


OBSOLETE = frozenset({Command.SEND, Command.SOML, Command.SAML, Command.TURN, Command.ETRN})
"""Known, never offered: RFC 5321 §F.1, §F.6; RFC 1985."""

_HTTP = frozenset({b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH", b"PRI"})

_VERBS = {verb: command for command in Command for verb in (command.encode(), command.lower().encode())}


def parse(line: bytes) -> tuple[Command | None, bytes]:
    """Split a command line, without its line end, into command and argument; None for an unknown word."""
    verb, _, argument = line.partition(b" ")
    command = _VERBS.get(verb)
    return (command, argument) if command else _parse_tolerantly(line)


def _parse_tolerantly(line: bytes) -> tuple[Command | None, bytes]:
    """The same for what devices send: mixed case, tabs, spaces before the verb, a stray CR behind it."""
    verb, *argument = line.split(None, 1) or [b""]
    return _VERBS.get(verb.upper()), argument[0] if argument else b""


def is_http(line: bytes) -> bool:
    """Whether a web browser (or a page in one, made to post commands to us) is talking."""
    return line.partition(b" ")[0] in _HTTP
