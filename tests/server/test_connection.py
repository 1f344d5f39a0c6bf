"""One connection and its guards: clients that are slow, deaf, rude or gone."""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mailbell.errors import JournalFull, JournalUnavailable
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.mail import Mail
from mailbell.server.connection import PIECE
from mailbell.server.patience import EVICTED_AFTER, FRUITLESS_AFTER, HURRY, LINGER, TURN
from mailbell.smtp import replies
from tests.conftest import BOTH_LOOPS
from tests.server.conftest import Client, Connect, HandClock, Serve, Serving, trusting, until

DIALOGUE = ("EHLO x", "MAIL FROM:<a@lan>", "RCPT TO:<b@lan>", "DATA")
HELPS = 40_000
"""So many answers fit into no kernel's buffers."""

WHOLE = b"EHLO x\r\nMAIL FROM:<a@lan>\r\nRCPT TO:<b@lan>\r\nDATA\r\nSubject: 1\r\n\r\nx\r\n.\r\n"


class Gate:
    """In the place of the journal's append(): nothing passes until it is opened."""

    def __init__(self, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.open = asyncio.Event()
        self._append = journal.append
        monkeypatch.setattr(journal, "append", self)

    def __call__(self, mail: Mail) -> asyncio.Future[int]:
        return asyncio.ensure_future(self._pass(mail))

    async def _pass(self, mail: Mail) -> int:
        self.asked += 1
        await self.open.wait()
        return await self._append(mail)


@pytest.fixture
def gate(serve: Serve, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Asks for `serve`, so that it is open before the server is stopped."""
    gate = Gate(journal, monkeypatch)
    yield gate
    gate.open.set()


def small_buffers(client: Client) -> None:
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


# Clients that do not read


async def deaf(server: Serving, connect: Connect) -> Client:
    """A client that asks for help again and again and reads no answer; there once the server has noticed."""
    client = await connect(server)
    client.reader._transport.pause_reading()  # type: ignore[attr-defined]
    client.writer.write(b"HELP\r\n" * HELPS)
    await until(lambda: any(each._deaf for each in server.connections))
    return client


@BOTH_LOOPS
async def test_replies_are_not_made_for_a_client_that_does_not_read_them(
    serve: Serve, connect: Connect
) -> None:
    server = await serve()
    client = await deaf(server, connect)
    [connection] = server.connections
    assert connection._transport is not None
    assert connection._transport.get_write_buffer_size() < 60 * PIECE, "what one piece of commands makes"
    client.reader._transport.resume_reading()  # type: ignore[attr-defined]
    await client.answer()
    first = await client.answer()
    rest = await client.reader.readexactly(len(replies.HELP.wire) * (HELPS - 1))
    assert rest == replies.HELP.wire * (HELPS - 1), "when it reads, it has all of them"
    assert first == "\n".join(replies.HELP.lines)


@BOTH_LOOPS
async def test_a_client_that_does_not_read_is_cut(serve: Serve, connect: Connect, clock: HandClock) -> None:
    server = await serve(threads=1)
    await deaf(server, connect)
    clock.ahead += 299
    server.look_at_clock()
    assert server.slots.taken == 1
    clock.ahead += 2
    server.look_at_clock()
    assert await server.transcripts.outcome() == "The client did not read its replies."
    assert server.slots.taken == 0


async def pile_up(server: Serving, client: Client) -> None:
    """Read no answers, until octets are left unsent for it."""
    small_buffers(client)
    client.reader._transport.pause_reading()  # type: ignore[attr-defined]
    while not any(each._transport.get_write_buffer_size() for each in server.connections if each._transport):
        client.writer.write(b"HELP\r\n" * 50)
        await asyncio.sleep(0.001)


@BOTH_LOOPS
async def test_a_client_that_lets_the_last_word_pile_up_is_cut(
    serve: Serve, connect: Connect, clock: HandClock
) -> None:
    """With octets unsent, close() would wait for ever, and the slot with it."""
    server = await serve(threads=1)
    await pile_up(server, await connect(server))
    [connection] = server.connections
    connection.shutdown()
    assert server.slots.taken == 1
    clock.ahead += LINGER + 1
    server.look_at_clock()
    await server.transcripts.ended()
    assert server.slots.taken == 0


@BOTH_LOOPS
async def test_others_have_their_turn_while_one_pours_commands(serve: Serve, connect: Connect) -> None:
    server = await serve()
    flood, honest = await connect(server), await connect(server)
    await honest.talk("EHLO x")
    flood.writer.write(b"NOOP\r\n" * 200_000)
    await flood.answer()
    assert (await honest.say("NOOP")).startswith("250")
    [rude] = [each for each in server.connections if each._ahead]
    assert len(rude._ahead) > PIECE, "it was not served all at once"


# Clients that are slow


@BOTH_LOOPS
async def test_a_command_that_comes_octet_by_octet_does_not_count_as_activity(
    serve: Serve, connect: Connect, clock: HandClock
) -> None:
    server = await serve()
    client = await connect(server)
    await client.answer()
    for octet in b"NOOP":
        client.writer.write(bytes([octet]))
        await client.writer.drain()
        clock.ahead += 80
        server.look_at_clock()
    assert (await client.answer()).startswith("421 4.4.2 Closing: nothing was said for too long")
    assert "idle_timeout" in await server.transcripts.outcome()


async def hog_idle(_: Client) -> None:
    """Says nothing."""


async def hog_noop(client: Client) -> None:
    assert (await client.say("NOOP")).startswith("250")


async def hog_transaction(client: Client) -> None:
    for line in ("RSET", "MAIL FROM:<a@lan>", "NOOP"):
        await client.say(line)


async def hog_octets(client: Client) -> None:
    client.writer.write(b"N")
    await client.writer.drain()


async def hog_message(client: Client) -> None:
    if not client.__dict__.setdefault("begun", False):
        client.__dict__["begun"] = True
        for line in DIALOGUE:
            await client.say(line)
    client.writer.write(b"x")
    await client.writer.drain()


async def hog_mails(client: Client) -> None:
    await client.say("HELO x")
    await client.mail(b"Subject: once more\r\n\r\n")


@pytest.mark.parametrize("hog", [hog_idle, hog_noop, hog_transaction, hog_octets, hog_message, hog_mails])
async def test_slots_can_not_be_held_for_nothing(
    serve: Serve, connect: Connect, clock: HandClock, hog: Callable[[Client], Awaitable[None]]
) -> None:
    """An honest client is greeted before its patience (queue_timeout) ends, whatever the hogs do."""
    server = await serve(threads=2)
    hogs = [await connect(server) for _ in range(12)]
    await asyncio.gather(hogs[0].answer(), hogs[1].answer())
    honest = await connect(server, "127.0.0.2")
    greeting = asyncio.create_task(honest.answer())
    await until(lambda: server.slots.waiting == 11)
    for _ in range(int((EVICTED_AFTER + FRUITLESS_AFTER) / 2)):
        for client in hogs[:2]:
            if not greeting.done() and not client.reader.at_eof():
                await hog(client)
        clock.ahead += 2
        server.look_at_clock()
        await asyncio.sleep(0.005)
        if greeting.done():
            break
    assert (await greeting).startswith("220")


async def send_for_ever(client: Client) -> None:
    """Mail after mail, each command once the one before is answered, until the server takes leave."""
    await client.talk("HELO x")
    while True:
        for line in ("MAIL FROM:<a@lan>", "RCPT TO:<b@lan>", "DATA", b"Subject: a\r\n\r\nb\r\n."):
            if (await client.say(line)).startswith("421"):
                return


@BOTH_LOOPS
async def test_only_as_many_give_way_as_wait(
    serve: Serve, connect: Connect, clock: HandClock, journal: SqliteJournal
) -> None:
    """At a look at the clock most of them are at a mail, or one is being stored."""
    server = await serve(threads=4)
    busy = [asyncio.create_task(send_for_ever(await connect(server))) for _ in range(4)]
    await until(lambda: server.slots.taken == 4)
    waiting = await connect(server)
    await until(lambda: server.slots.waiting == 1)
    clock.ahead += TURN + 1
    server.look_at_clock()
    assert (await waiting.answer()).startswith("220")
    await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
    for _ in range(3):
        server.look_at_clock()
        await waiting.say("NOOP")
    stored = journal.last_sequence
    await until(lambda: journal.last_sequence > stored + 10)
    assert [each.done() for each in busy].count(True) == 1, "the others go on"
    assert server.slots.taken == 4
    for each in busy:
        each.cancel()


async def test_one_of_two_whose_mails_are_stored_together_gives_way(
    serve: Serve, connect: Connect, clock: HandClock, gate: Gate
) -> None:
    server = await serve(threads=2)
    both = [await connect(server) for _ in range(2)]
    for client in both:
        await client.talk("HELO x")
        client.writer.write(WHOLE)
    await until(lambda: gate.asked == 2)
    waiting = await connect(server)
    await until(lambda: server.slots.waiting == 1)
    clock.ahead += TURN + 1
    server.look_at_clock()
    gate.open.set()
    assert (await waiting.answer()).startswith("220")
    for client in both:
        while not (await client.answer()).startswith("250 2.0.0 OK 0"):
            pass
    assert sorted([(await client.say("NOOP"))[:3] for client in both]) == ["250", "421"]


async def test_who_has_said_the_last_word_counts(serve: Serve, connect: Connect, clock: HandClock) -> None:
    """His slot is about to be free, though he does not read it."""
    server = await serve(threads=2)
    deaf = await connect(server)
    await pile_up(server, deaf)
    [leaving] = server.connections
    busy = await connect(server)
    await busy.talk("HELO x")
    waiting = await connect(server)
    await until(lambda: server.slots.waiting == 1)
    clock.ahead += TURN + 1
    await busy.mail()
    leaving.shutdown()
    server.look_at_clock()
    assert (await busy.say("NOOP")).startswith("250")
    waiting.writer.close()


async def test_who_brings_no_mail_gives_way_first(serve: Serve, connect: Connect, clock: HandClock) -> None:
    server = await serve(threads=8)
    clients = [await connect(server) for _ in range(8)]
    for client in clients:
        await client.talk("HELO x")
    waiting = await connect(server)
    await until(lambda: server.slots.waiting == 1)
    clock.ahead += TURN + 1
    for client in clients[1:]:
        await client.mail()
    await clients[0].say("NOOP")
    server.look_at_clock()
    assert (await asyncio.wait_for(clients[0].answer(), 10)).startswith("421")
    assert (await waiting.answer()).startswith("220")


@BOTH_LOOPS
@pytest.mark.parametrize("behind", [b"", b"MAIL FROM:<a@lan>\r\nRCPT TO:<b@lan>\r\n", b"STARTTLS\r\n"])
async def test_whoever_is_at_a_mail_gives_way_behind_it(
    serve: Serve, connect: Connect, clock: HandClock, gate: Gate, journal: SqliteJournal, behind: bytes
) -> None:
    """Also who sends the next commands along."""
    server = await serve(threads=1, tls="starttls")
    first = await connect(server)
    await first.talk("HELO x")
    waiting = await connect(server)
    await until(lambda: server.slots.waiting == 1)
    first.writer.write(WHOLE + behind)
    await until(lambda: gate.asked == 1)
    clock.ahead += TURN + 1
    server.look_at_clock()
    server.look_at_clock = lambda: None  # type: ignore[method-assign]  # whoever comes next does not help
    gate.open.set()
    said = (await asyncio.wait_for(first.reader.read(), 10)).decode().splitlines()
    assert [line[:9] for line in said[-2:]] == ["250 2.0.0", "421 4.3.2"]
    assert journal.last_sequence == 1
    assert (await waiting.answer()).startswith("220")
    [transcript] = await server.transcripts.ended()
    assert transcript.outcome == "It had its slot for a while, and another client needed it."


async def test_nobody_gives_way_when_nobody_waits_any_more(
    serve: Serve, connect: Connect, clock: HandClock, gate: Gate
) -> None:
    server = await serve(threads=2)
    first = await connect(server)
    await first.talk("HELO x")
    clock.ahead += TURN
    second = await connect(server)
    await second.talk("HELO x")
    waiting = await connect(server)
    await until(lambda: server.slots.waiting == 1)
    first.writer.write(WHOLE)
    await until(lambda: gate.asked == 1)
    clock.ahead += HURRY + 1
    server.look_at_clock()
    await second.say("QUIT")
    assert (await waiting.answer()).startswith("220")
    gate.open.set()
    while not (said := await first.answer()).startswith("250 2.0.0 OK 0"):
        assert said
    assert (await first.say("NOOP")).startswith("250")


# Clients that go


@BOTH_LOOPS
async def test_what_was_answered_goes_out_before_the_line_is_cut(serve: Serve, connect: Connect) -> None:
    """Replies are sent at the end of a turn of the loop."""
    server = await serve()
    client = await connect(server)
    await client.talk("EHLO x")
    [connection] = server.connections
    connection.data_received(b"NOOP\r\n")
    connection.abort("cut")
    assert await client.answer() == "250 2.0.0 OK"
    assert await server.transcripts.outcome() == "cut"


@BOTH_LOOPS
async def test_a_mail_cut_off_behind_its_dot_keeps_its_slot_until_it_is_stored(
    serve: Serve, connect: Connect, journal: SqliteJournal, gate: Gate
) -> None:
    """Else a client could pile up mail in memory faster than the disk takes it."""
    server = await serve(threads=1)
    client = await connect(server)
    client.writer.write(WHOLE + WHOLE)
    await until(lambda: gate.asked == 1)
    client.reset()
    [connection] = server.connections
    connection.abort("cut")
    await until(lambda: connection._transport is None)
    assert server.slots.taken == 1
    gate.open.set()
    [transcript] = await server.transcripts.ended()
    assert server.slots.taken == 0
    assert journal.last_sequence == transcript.mails == 2
    assert not transcript.failed
    assert transcript.outcome == "cut"


@BOTH_LOOPS
async def test_stop_waits_for_a_mail_whose_client_has_gone(
    serve: Serve, connect: Connect, journal: SqliteJournal, gate: Gate
) -> None:
    server = await serve()
    client = await connect(server)
    client.writer.write(WHOLE)
    await until(lambda: gate.asked == 1)
    client.reset()
    stopping = asyncio.create_task(server.stop(0.01))
    await asyncio.sleep(0.05)
    assert not stopping.done()
    gate.open.set()
    await stopping
    assert journal.last_sequence == 1


@BOTH_LOOPS
async def test_a_whole_dialogue_under_tls_and_then_close(serve: Serve, journal: SqliteJournal) -> None:
    server = await serve(tls="implicit")

    def send() -> None:
        with socket.create_connection(("127.0.0.1", server.port), 20) as plain:
            wire = socket.socket(fileno=os.dup(plain.fileno()))
            wire.settimeout(20)
            with wire, trusting().wrap_socket(plain) as client:
                client.sendall(b"NOOP\r\n" * 10_000 + WHOLE)
                with suppress(ssl.SSLError):  # there are answers, which it does not want to read
                    client.unwrap()
                while wire.recv(65536):
                    pass

    await asyncio.to_thread(send)
    await server.transcripts.ended()
    assert journal.last_sequence == 1


# A journal in trouble


@pytest.mark.parametrize(
    ("trouble", "reply"),
    [(JournalFull("no room"), "452 4.3.1 No room"), (JournalUnavailable("broken"), "451 4.3.0 The message")],
)
async def test_trouble_that_is_known_is_told_at_mail(
    serve: Serve, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    trouble: Exception, reply: str,
) -> None:  # fmt: skip
    server = await serve()
    client = await connect(server)
    with monkeypatch.context() as patch:
        patch.setattr(SqliteJournal, "trouble", trouble)
        answers = await client.talk("EHLO x", "MAIL FROM:<a@lan>")
        assert answers[-1].startswith(reply)
    assert (await client.mail()).startswith("250"), "taken as soon as it is over"


async def test_a_disk_that_fills_up_is_told_at_mail(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve()
    client = await connect(server)
    monkeypatch.setattr(DataFolder, "free", lambda _: 2**20)
    answers = await client.talk("EHLO x", "MAIL FROM:<a@lan>")
    assert answers[-1].startswith("452 4.3.1 No room to store the message; free disk space")


async def test_a_bug_in_the_journal_is_a_451_and_in_the_log(
    serve: Serve, connect: Connect, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def append(_: Mail) -> asyncio.Future[int]:
        answer = asyncio.get_running_loop().create_future()
        answer.set_exception(ZeroDivisionError())
        return answer

    client = await connect(await serve())
    await client.talk("EHLO x")
    with monkeypatch.context() as patch:
        patch.setattr(journal, "append", append)
        assert (await client.mail()).startswith("451 4.3.0")
    assert (await client.mail()).startswith("250")
    assert "ZeroDivisionError" in caplog.text


# Transcripts


@BOTH_LOOPS
async def test_each_connection_ends_with_a_true_sentence(serve: Serve, connect: Connect) -> None:
    server = await serve(threads=20, max_errors=2, allow=("127.0.0.0/30",), max_per_source=15)

    async def outcome(*lines: str | bytes, ip: str = "127.0.0.1", end: str = "") -> str:
        before = len(await server.transcripts.ended(0))
        client = await connect(server, ip)
        for line in lines:
            client.send(line)
        if end:
            for _ in range(len(lines) + 1):
                await client.answer()
            client.reset() if end == "reset" else client.writer.close()
        return await server.transcripts.outcome(before + 1)

    assert await outcome("QUIT") == "The client said QUIT."
    assert await outcome(end="close") == "The client closed the connection without QUIT."
    assert await outcome(*DIALOGUE, end="close") == (
        "The client closed the connection while it was sending a message;"
        " 0 octets of an unfinished mail are discarded."
    )
    assert "while it was about to name recipients" in await outcome(*DIALOGUE[:2], end="reset")
    assert await outcome("x", "y", "z") == "The client made too many errors."
    assert "not a web server" in await outcome("GET / HTTP/1.1", "")
    assert await outcome(ip="127.0.0.9") == "127.0.0.9 is in none of the networks of `allow`; add its own."
    assert "BDAT that can't be understood" in await outcome(*DIALOGUE[:3], "BDAT x")
    kept = [await connect(server) for _ in range(15)]
    assert "as many connections as max_per_source allows" in await outcome()
    ended = {each.id for each in await server.transcripts.ended(0)}
    await kept[0].answer()
    await server.stop(0.1)
    stopped = [each for each in await server.transcripts.ended(len(ended) + 15) if each.id not in ended]
    assert {each.outcome for each in stopped} == {"mailbell was stopped."}


async def test_a_reset_is_noted(serve: Serve, connect: Connect) -> None:
    server = await serve()
    client = await connect(server)
    await client.talk("EHLO x")
    client.reset()
    [transcript] = await server.transcripts.ended()
    assert transcript.lines[-1].text in ("Connection reset by peer", "connection reset by peer")
