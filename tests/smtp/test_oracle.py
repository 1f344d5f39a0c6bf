"""aiosmtpd as an oracle: the replies on which two servers should agree, given the same dialogue.

Only the codes are compared. Where we differ on purpose, the reason is in `DIFFERENT`.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope

from mailbell.smtp.session import SessionOptions
from tests.smtp.driver import Driver

MAX_SIZE = 200


class Handler:
    """Keeps what aiosmtpd received."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], bytes]] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        sender = (envelope.mail_from or "").strip("<>")  # aiosmtpd has "<>" for the null sender
        self.mails.append((sender, envelope.rcpt_tos, content))
        return "250 OK"


class Peer:
    """aiosmtpd on the loopback, spoken to line by line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
        self.reader, self.writer, self.handler = reader, writer, handler

    async def code(self) -> int | None:
        """The code of the next reply; None once the connection is closed."""
        line = b"   -"
        while line[3:4] == b"-":
            line = await asyncio.wait_for(self.reader.readline(), 5)
        return int(line[:3]) if line else None

    async def say(self, octets: bytes) -> int | None:
        self.writer.write(octets)
        return await self.code()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    handler = Handler()

    def accept(*_: Any) -> AuthResult:
        return AuthResult(success=True)

    def make() -> SMTP:
        return SMTP(
            handler,
            data_size_limit=MAX_SIZE,
            enable_SMTPUTF8=True,
            auth_require_tls=False,
            authenticator=accept,
        )

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    peer = Peer(reader, writer, handler)
    assert await peer.code() == 220
    yield peer
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


MAIL = [b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>", b"DATA"]
AGREED = {
    "a mail": [b"EHLO me", *MAIL, b"Subject: x\r\n\r\nhi\r\n.", b"QUIT"],
    "two mails": [b"HELO me", *MAIL, b"one\r\n.", *MAIL, b"two\r\n.", b"QUIT"],
    "dots": [b"EHLO me", *MAIL, b"..\r\n...\r\n.a\r\n.", b"QUIT"],
    "an empty mail": [b"EHLO me", *MAIL, b".", b"QUIT"],
    "several recipients": [b"EHLO me", *MAIL[:2], b"RCPT TO:<e@f>", b"DATA", b".", b"QUIT"],
    "the null sender": [b"EHLO me", b"MAIL FROM:<>", *MAIL[1:], b"."],
    "parameters": [b"EHLO me", b"MAIL FROM:<a@b> SIZE=100 BODY=8BITMIME SMTPUTF8"],
    "lower case": [b"ehlo me", b"mail from:<a@b>", b"rcpt to:<c@d>", b"data", b".", b"quit"],
    "too large, declared": [b"EHLO me", b"MAIL FROM:<a@b> SIZE=201", b"MAIL FROM:<a@b> SIZE=200"],
    "too large": [b"EHLO me", *MAIL, b"x" * 150 + b"\r\n" + b"x" * 150 + b"\r\n.", *MAIL, b"."],
    "out of order": [b"EHLO me", b"RCPT TO:<c@d>", b"DATA", MAIL[0], b"DATA", MAIL[0]],
    "reset": [b"EHLO me", *MAIL[:2], b"RSET", b"RCPT TO:<c@d>", *MAIL, b"."],
    "ehlo resets": [b"EHLO me", *MAIL[:2], b"EHLO me", b"DATA", b"RCPT TO:<c@d>"],
    "small talk": [b"EHLO me", b"NOOP", b"NOOP x", b"VRFY <a@b>", b"RSET"],
    "nonsense": [b"EHLO me", b"XYZ", b"", b"MAILX"],
    "no recipient": [b"EHLO me", MAIL[0], b"RCPT TO:", b"RCPT"],
    "plain": [b"EHLO me", b"AUTH PLAIN AGEAYg==", b"AUTH PLAIN AGEAYg==", *MAIL, b"."],
    "plain in two": [b"EHLO me", b"AUTH PLAIN", b"AGEAYg=="],
    "login": [b"EHLO me", b"AUTH LOGIN", b"YQ==", b"Yg=="],
    "a mechanism that is not there": [b"EHLO me", b"AUTH FOO"],
    "cancelled": [b"EHLO me", b"AUTH LOGIN", b"*", b"NOOP"],
}


@pytest.mark.parametrize("lines", AGREED.values(), ids=AGREED.keys())
async def test_we_agree(peer: Peer, lines: list[bytes]) -> None:
    driver = Driver(SessionOptions(max_size=MAX_SIZE))
    for line in lines:
        assert driver.codes(line + b"\r\n") == [await peer.say(line + b"\r\n")], line
    ours = [(mail.envelope.mail_from, [*mail.envelope.rcpt_to], mail.raw) for mail in driver.mails]
    assert ours == peer.handler.mails


DIFFERENT = {
    "no HELO is needed": ([b"MAIL FROM:<a@b>"], 250, 503),
    "a bare HELO is taken": ([b"HELO"], 250, 501),
    "devices write addresses as they like": ([b"EHLO me", b"MAIL FROM a@b"], 250, 501),
    "unknown parameters are overlooked": ([b"EHLO me", b"MAIL FROM:<a@b> FOO=1"], 250, 555),
    "superfluous arguments are overlooked": ([b"EHLO me", b"RSET x"], 250, 501),
    "help is 214 (RFC 5321 §4.2.2)": ([b"HELP"], 214, 250),
    "a recipient must be someone": ([b"EHLO me", MAIL[0], b"RCPT TO:<>"], 501, 250),
    "mail to any address is taken": ([b"EHLO me", b"EXPN x"], 252, 502),
}


@pytest.mark.parametrize(("lines", "ours", "theirs"), DIFFERENT.values(), ids=DIFFERENT.keys())
async def test_we_differ_on_purpose(peer: Peer, lines: list[bytes], ours: int, theirs: int) -> None:
    driver = Driver()
    codes = [(driver.codes(line + b"\r\n")[0], await peer.say(line + b"\r\n")) for line in lines]
    assert codes[-1] == (ours, theirs)
