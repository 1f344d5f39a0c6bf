"""The shell: what happens between a socket, the session and the journal."""

import asyncio
import socket

import pytest

from mailbell.errors import JournalFull, JournalUnavailable, ListenError
from mailbell.journal.sqlite import SqliteJournal
from mailbell.mail import Envelope, Mail
from mailbell.server.ioserver import IoServer
from tests.conftest import BOTH_LOOPS
from tests.server.conftest import Connect, HandClock, Serve, until


@BOTH_LOOPS
async def test_a_mail_is_in_the_journal_when_its_250_comes(
    serve: Serve, connect: Connect, journal: SqliteJournal
) -> None:
    client = await connect(await serve())
    assert (await client.answer()).startswith("220 bell.lan ESMTP")
    await client.say("EHLO camera")
    answer = await client.mail(b"Subject: door\r\n\r\n..dot\r\nopen")
    mail = await journal.read(1)
    assert answer == f"250 2.0.0 OK {mail.id}"
    assert mail.raw == b"Subject: door\r\n\r\n.dot\r\nopen\r\n"
    assert mail.envelope == Envelope("a@lan", ("b@lan",))
    assert (mail.ioserver, mail.source.ip, mail.source.helo) == ("smtp", "127.0.0.1", "camera")


@BOTH_LOOPS
async def test_a_whole_dialogue_in_one_packet(serve: Serve, connect: Connect, journal: SqliteJournal) -> None:
    client = await connect(await serve())
    mail = b"MAIL FROM:<a@lan>\r\nRCPT TO:<b@lan>\r\nDATA\r\nSubject: 1\r\n\r\nx\r\n.\r\n"
    client.writer.write(b"EHLO x\r\n" + mail + mail + b"QUIT\r\n")
    client.writer.write_eof()
    replies = (await client.reader.read()).decode()
    assert replies.count("250 2.0.0 OK 0") == 2
    assert replies.endswith("221 2.0.0 Bye\r\n")
    assert journal.last_sequence == 2


async def test_a_line_cut_after_the_dot_keeps_the_mail_and_one_cut_before_does_not(
    serve: Serve, connect: Connect, journal: SqliteJournal
) -> None:
    server = await serve()
    taken, lost = await connect(server), await connect(server)
    for client in (taken, lost):
        await client.answer()
        for line in ("HELO x", "MAIL FROM:<a@lan>", "RCPT TO:<b@lan>", "DATA"):
            await client.say(line)
    taken.send("Subject: taken\r\n\r\n.")
    lost.send("Subject: lost\r\n\r\n")
    for client in (taken, lost):
        await client.writer.drain()
        client.writer.transport.abort()
    await server.stop(1)
    assert (await journal.read(1)).raw.startswith(b"Subject: taken")
    assert journal.last_sequence == 1
    outcomes = {transcript.mails: transcript.outcome for transcript in server.transcripts}
    assert "cut" in outcomes[0] or "closed" in outcomes[0]


async def test_clients_over_threads_wait_ungreeted_in_order_of_arrival(
    serve: Serve, connect: Connect
) -> None:
    server = await serve(threads=1)
    first, second, third = [await connect(server) for _ in range(3)]
    await first.answer()
    await first.say("HELO x")
    waiting = asyncio.create_task(second.answer())
    assert (await first.say("NOOP")).startswith("250")
    assert not waiting.done()
    assert server.slots.waiting == 2
    await first.say("QUIT")
    assert (await waiting).startswith("220")
    assert server.slots.waiting == 1
    third.writer.close()


async def test_a_full_queue_is_told(serve: Serve, connect: Connect) -> None:
    server = await serve(threads=1, queue_length=1)
    first = await connect(server)
    await first.answer()
    await connect(server)
    third = await connect(server)
    assert (await third.answer()).startswith("421 4.3.2 Too many connections")
    assert await third.answer() == ""


async def test_who_waits_too_long_for_a_slot_is_told(
    serve: Serve, connect: Connect, clock: HandClock
) -> None:
    server = await serve(threads=1)
    first = await connect(server)
    await first.answer()
    for line in ("HELO x", "MAIL FROM:<a@lan>"):  # in a transaction, so that it is not evicted
        await first.say(line)
    second = await connect(server)
    clock.ahead += 31
    server.look_at_clock()
    assert (await second.answer()).startswith("421 4.3.2")


async def test_a_device_that_never_quits_does_not_lock_the_others_out(
    serve: Serve, connect: Connect, clock: HandClock
) -> None:
    server = await serve(threads=1)
    first = await connect(server)
    await first.answer()
    second = await connect(server)
    clock.ahead += 11
    server.look_at_clock()
    assert (await first.answer()).startswith("421 4.4.2 Closing this idle connection")
    assert (await second.answer()).startswith("220")


async def test_idle_and_slow_clients_are_parted_with(
    serve: Serve, connect: Connect, clock: HandClock
) -> None:
    server = await serve(idle_timeout=300.0, data_timeout=600.0, min_rate=0)
    idle, slow = await connect(server), await connect(server)
    for client in (idle, slow):
        await client.answer()
        await client.say("HELO x")
    for line in ("MAIL FROM:<a@lan>", "RCPT TO:<b@lan>", "DATA"):
        await slow.say(line)
    waiting = asyncio.create_task(idle.answer())
    for number in range(4):  # something comes now and then, and yet the message takes too long
        slow.send("a line")
        await slow.writer.drain()
        await received(server, 6 + 8 * number)
        server.look_at_clock()
        clock.ahead += 200
    server.look_at_clock()
    assert (await waiting).startswith("421 4.4.2 Closing: nothing was said")
    assert (await slow.answer()).startswith("421 4.4.2 Closing: the message took too long")


@pytest.mark.parametrize(
    ("error", "reply"),
    [(JournalFull("no room"), "452 4.3.1"), (JournalUnavailable("broken"), "451 4.3.0")],
)
async def test_a_mail_that_is_not_stored_has_no_250(
    serve: Serve, connect: Connect, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch,
    error: Exception, reply: str,
) -> None:  # fmt: skip
    def append(_: Mail) -> asyncio.Future[int]:
        answer = asyncio.get_running_loop().create_future()
        answer.set_exception(error)
        return answer

    monkeypatch.setattr(journal, "append", append)
    client = await connect(await serve())
    await client.answer()
    await client.say("HELO x")
    assert (await client.mail()).startswith(reply)
    monkeypatch.undo()
    assert (await client.mail()).startswith("250 2.0.0 OK")


async def test_stop_lets_a_mail_under_way_finish(
    serve: Serve, connect: Connect, journal: SqliteJournal
) -> None:
    server = await serve()
    idle, busy = await connect(server), await connect(server)
    for client in (idle, busy):
        await client.answer()
    for line in ("HELO x", "MAIL FROM:<a@lan>", "RCPT TO:<b@lan>", "DATA"):
        await busy.say(line)
    stopping = asyncio.create_task(server.stop(5))
    assert (await idle.answer()).startswith("421 4.3.2 mailbell is shutting down")
    assert (await busy.say("Subject: last\r\n\r\n.")).startswith("250")
    assert (await busy.answer()).startswith("421")
    await stopping
    assert journal.last_sequence == 1


async def test_a_taken_port(serve: Serve) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(ListenError, match="taken by another program"),
    ):
        await serve(port=other.getsockname()[1])


async def received(server: IoServer, octets: int) -> None:
    """Wait until so much of a message has been heard."""
    await until(lambda: server.budget.used >= octets)
