"""Memory for messages on their way in: bounded by pausing, nobody stuck, nobody forgotten."""

import asyncio
import hashlib

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from mailbell.journal.sqlite import SqliteJournal
from mailbell.server.memory import Budget
from tests.conftest import BOTH_LOOPS
from tests.server.conftest import Connect, Serve, until

LIMIT, LARGEST, CHUNK = 100, 60, 10


class Connection:
    """A message of so many octets, coming in by chunks while it is not paused."""

    def __init__(self, budget: Budget, size: int) -> None:
        self.budget = budget
        self.left = size
        self.held = 0
        self.paused = False
        budget.hold(self, 0)

    def pause(self) -> None:
        assert not self.paused
        self.paused = True

    def resume(self) -> None:
        assert self.paused
        self.paused = False

    def read(self) -> None:
        octets = min(CHUNK, self.left)
        self.left -= octets
        self.held += octets
        self.budget.hold(self, self.held)

    def end(self) -> None:
        self.held = 0
        self.budget.release(self)


class Budgets(RuleBasedStateMachine):
    """Connections begin, read in any order, finish or break off."""

    open_ones = Bundle("open_ones")

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(LIMIT)
        self.there: list[Connection] = []

    @rule(target=open_ones, size=st.integers(0, LARGEST))
    def begin(self, size: int) -> Connection:
        self.there.append(Connection(self.budget, size))
        return self.there[-1]

    @rule(connection=open_ones)
    def read(self, connection: Connection) -> None:
        if connection in self.there and not connection.paused:
            connection.read()

    @rule(target=open_ones, connection=consumes(open_ones))
    def go(self, connection: Connection) -> object:
        """Broken off, or refused, whatever state it is in."""
        if connection in self.there:
            self.there.remove(connection)
            connection.end()
            self.budget.release(connection)  # twice does no harm
        return multiple()

    @invariant()
    def bounded(self) -> None:
        assert self.budget.used == sum(each.held for each in self.there)
        assert self.budget.used <= LIMIT + LARGEST + CHUNK

    @invariant()
    def nobody_waits_without_need(self) -> None:
        paused = [each for each in self.there if each.paused]
        assert self.budget.paused == len(paused)
        assert not paused or self.budget.used > LIMIT
        assert not self.there or not self.there[0].paused, "the oldest always gets on"

    def teardown(self) -> None:
        """Whatever has happened, everybody comes through when all go on."""
        for _ in range(10000):
            if not self.there:
                break
            ready = [each for each in self.there if not each.paused]
            assert ready, "nobody can go on"
            ready[-1].read()  # the youngest: the worst order
            if not ready[-1].left:
                self.there.remove(ready[-1])
                ready[-1].end()
        assert not self.there
        assert (self.budget.used, self.budget.paused) == (0, 0)


TestBudgets = Budgets.TestCase
TestBudgets.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)


@BOTH_LOOPS
async def test_many_large_messages_at_once_all_arrive_and_none_twice(
    serve: Serve, connect: Connect, journal: SqliteJournal
) -> None:
    size, many, limit = 5 * 2**20, 12, 12 * 2**20
    server = await serve(threads=many, budget=limit)
    half = (b"x" * 1022 + b"\r\n") * (size // 2048)
    felt, most = asyncio.Event(), 0

    async def one(number: int) -> None:
        nonlocal most
        client = await connect(server)
        await client.talk("EHLO x", "MAIL FROM:<a@lan>", "RCPT TO:<b@lan>", "DATA")
        client.send(f"Subject: {number}\r\n".encode() + half)
        await felt.wait()
        client.send(half)
        answer = asyncio.create_task(client.say("."))
        while not answer.done():
            most = max(most, server.budget.used)
            await asyncio.sleep(0.001)
        assert (await answer).startswith("250 2.0.0 OK")

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(many):
            group.create_task(one(number))
        await until(lambda: server.budget.paused == many - 1)
        felt.set()
    mails = [await journal.read(sequence) for sequence in range(1, many + 1)]
    assert journal.last_sequence == many
    subjects = {mail.raw.partition(b"\r\n")[0] for mail in mails}
    assert subjects == {b"Subject: %d" % number for number in range(many)}
    assert len({hashlib.sha256(mail.raw.partition(b"\r\n")[2]).digest() for mail in mails}) == 1
    assert most <= limit + size + 2**20
    assert (server.budget.used, server.budget.paused) == (0, 0)


@BOTH_LOOPS
async def test_memory_is_given_back_however_a_message_ends(serve: Serve, connect: Connect) -> None:
    server = await serve(max_size=10_000, bare_lf="reject", threads=10)
    begun = ("EHLO x", "MAIL FROM:<a@lan>", "RCPT TO:<b@lan>")
    for ending in (b"\r\n.", b"\n\r\n.", b"x" * 20_000 + b"\r\n."):  # taken, refused, too large
        client = await connect(server)
        await client.talk(*begun, "DATA")
        await client.say(b"x" * 100 + ending)
        assert server.budget.used == 0
    client = await connect(server)
    await client.talk(*begun)
    client.writer.write(b"BDAT 3\r\nabc")
    await client.answer()
    assert server.budget.used == 3
    await client.say("RSET")
    assert server.budget.used == 0
    client = await connect(server)
    await client.talk(*begun, "DATA")
    client.send(b"x" * 1000)
    await client.writer.drain()
    client.reset()
    await server.transcripts.ended()
    assert server.budget.used == 0


@BOTH_LOOPS
async def test_who_waits_for_memory_is_not_blamed(serve: Serve, connect: Connect, clock: object) -> None:
    server = await serve(threads=4, budget=1000, data_timeout=600.0)
    first, second = await connect(server), await connect(server)
    for client in (first, second):
        await client.talk("EHLO x", "MAIL FROM:<a@lan>", "RCPT TO:<b@lan>", "DATA")
    first.send(b"x" * 900)
    second.send(b"x" * 900)
    await until(lambda: server.budget.paused)
    waiting, _ = sorted(server.connections, key=lambda each: not each._short_of_memory)
    waiting.tick(server.clock.monotonic() + 10_000)
    assert not waiting._session.closed
    for client in (first, second):
        assert (await client.say("\r\n.")).startswith("250")
