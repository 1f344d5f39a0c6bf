"""Failures on purpose: each kind at its odds, and none where none is asked for."""

import asyncio
import base64

import msgspec
import pytest

from mailbell.journal.sqlite import SqliteJournal
from mailbell.server.chaos import Chaos
from mailbell.settings import ChaosRule, ChaosSettings, Duration
from tests.conftest import BOTH_LOOPS
from tests.server.conftest import Connect, Serve

LOGIN = "AUTH PLAIN " + base64.b64encode(b"\0a\0b").decode()
ALWAYS = ChaosRule(code=499, probability=1.0)


@pytest.mark.parametrize(
    ("kind", "refused"), [("authentication", 2), ("sender", 3), ("recipient", 4), ("data", 6)]
)
async def test_each_kind_refuses_its_own_command(
    serve: Serve, connect: Connect, journal: SqliteJournal, kind: str, refused: int
) -> None:
    server = await serve(chaos=msgspec.structs.replace(ChaosSettings(), **{kind: ALWAYS}))
    client = await connect(server)
    dialogue = ("EHLO x", LOGIN, "MAIL FROM:<a@lan>", "RCPT TO:<b@lan>", "DATA", "x\r\n.")
    answers = await client.talk(*dialogue[:refused])
    assert answers[-1].startswith("499 4.0.0 Chaos: this ")
    assert not any(answer.startswith("4") for answer in answers[:-1])
    server.chaos.settings = ChaosSettings()
    if refused > 2:
        await client.say("RSET")
    assert (await client.mail()).startswith("250"), "the session goes on"
    assert journal.last_sequence == 1


async def test_a_421_on_purpose_ends_the_connection(serve: Serve, connect: Connect) -> None:
    rule = ChaosRule(code=421, probability=1.0)
    client = await connect(await serve(chaos=ChaosSettings(recipient=rule)))
    answers = await client.talk("EHLO x", "MAIL FROM:<a@lan>", "RCPT TO:<b@lan>")
    assert answers[-1].startswith("421 4.0.0 Chaos")
    assert await client.answer() == ""


@BOTH_LOOPS
async def test_a_dropped_line_stores_nothing(serve: Serve, connect: Connect, journal: SqliteJournal) -> None:
    server = await serve(chaos=ChaosSettings(drop=1.0), threads=1)
    client = await connect(server)
    await client.talk("EHLO x")
    with pytest.raises(ConnectionError):
        assert await client.mail() == ""
        raise ConnectionError  # uvloop's reader sees the end, asyncio's the reset
    assert await server.transcripts.outcome() == "Chaos: the line was cut on purpose."
    assert journal.last_sequence == 0
    assert server.slots.taken == 0


@BOTH_LOOPS
async def test_latency_holds_up_each_reply_and_loses_nothing(
    serve: Serve, connect: Connect, journal: SqliteJournal
) -> None:
    server = await serve(chaos=ChaosSettings(latency=Duration(0.05)))
    client = await connect(server)
    await client.answer()
    loop, seconds = asyncio.get_running_loop(), []
    body = b"x" * 300_000 + b"\r\n."
    for line in (b"EHLO x", b"MAIL FROM:<a@lan>", b"RCPT TO:<b@lan>", b"DATA", body):
        began = loop.time()
        await client.say(line)
        seconds.append(loop.time() - began)
    assert min(seconds) > 0.049  # timers count in whole milliseconds
    client.writer.write(b"MAIL FROM:<a@lan>\r\nRCPT TO:<b@lan>\r\nDATA\r\ny\r\n.\r\nQUIT\r\n")
    client.writer.write_eof()
    assert (await client.reader.read()).endswith(b"221 2.0.0 Bye\r\n")
    assert (await journal.read(1)).raw == body[:-1]
    assert journal.last_sequence == 2


def test_the_odds() -> None:
    throws = iter([0.0, 0.29, 0.3, 0.99])
    chaos = Chaos(ChaosSettings(sender=ChaosRule(code=550, probability=0.3)), lambda: next(throws))
    refusals = [chaos.sender() for _ in range(4)]
    assert [refusal and refusal.code for refusal in refusals] == [550, 550, None, None]


async def test_no_chaos_by_default() -> None:
    chaos = Chaos(ChaosSettings(), lambda: 0.0)
    assert [chaos.sender(), chaos.recipient(), chaos.authentication()] == [None] * 3
    assert not chaos.reigns
    await chaos.before_storing()
