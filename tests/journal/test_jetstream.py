"""The engine in JetStream: the conformance suite on the oldest and the newest server, and what is its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mailbell.clock import SystemClock
from mailbell.errors import JournalFull, JournalUnavailable, StartupError
from mailbell.journal import publisher, stream
from mailbell.journal.base import Consumer
from mailbell.journal.jetstream import JetStreamJournal
from mailbell.journal.publisher import Publisher
from mailbell.journal.stream import DUPLICATE_WINDOW
from mailbell.lease.jetstream import JetStreamLease
from mailbell.remote.jetstream import JetStream
from tests.journal.conformance import (
    CHECKS,
    Check,
    append,
    fetch_all,
    fetch_first,
    fetch_some,
    is_there,
    mail,
    sequences,
)
from tests.journal.engines import JetStreamEngine, WholeJournal
from tests.journal.test_repeats import again
from tests.natsd import SERVERS, running, serving
from tests.proxy import Proxy, proxied

SOON = 20.0


@pytest.fixture(scope="module", params=SERVERS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("nats"), request.param) as url:
        yield url


@pytest.fixture
def engine(url: str) -> JetStreamEngine:
    return JetStreamEngine(url)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check: Check, engine: JetStreamEngine) -> None:
    await check(engine)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110  what another process or a server does
            await asyncio.sleep(0.01)


# Receiving.


@asynccontextmanager
async def receiving(engine: JetStreamEngine, **settings: Any) -> AsyncIterator[Publisher]:
    """A node that has listened to the others for long enough."""
    made = await Publisher.open(
        msgspec.structs.replace(engine.settings, **settings), engine.clock, patience=3.0
    )
    engine.clock.turn(DUPLICATE_WINDOW + 1)
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def behind(engine: JetStreamEngine) -> AsyncIterator[tuple[Proxy, Publisher]]:
    """A node and its link to the server."""
    async with (
        proxied(int(engine.url.rpartition(":")[2])) as link,
        receiving(engine, url=(f"nats://127.0.0.1:{link.port}",)) as made,
    ):
        yield link, made


async def test_a_mail_without_its_answer_is_one_mail_on_another_node(
    engine: JetStreamEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The node hears no answer from JetStream, nor does its client, which asks the next one."""
    caplog.set_level("INFO")
    monkeypatch.setattr(publisher, "PATIENCE", 0.5)
    small, large = mail(b"one"), mail(bytes(3_000_000))
    async with (
        engine.opened() as journal,
        behind(engine) as (link, one),
        receiving(engine) as other,
    ):
        assert await other.append(mail(b"zero")) == 1
        link.cut_answers()
        with pytest.raises(JournalUnavailable, match="no answer in"):
            await one.append(small)
        assert await other.append(again(small)) == 2
        assert "has come before, and got no answer then: it is mail 2" in caplog.text
        assert await other.append(again(small)) == 3, "this one is meant"
        link.heal()
        assert await one.append(large) == 4
        await until(lambda: len(other._repeats._answered) >= 3)
        assert await other.append(again(large)) == 5, "it was answered by the first node"
        assert [len((await journal.read(sequence)).raw) for sequence in (2, 3, 4, 5)] == [3, 3, 3e6, 3e6]


async def test_the_time_from_append_to_the_answer_is_counted(
    engine: JetStreamEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine.opened(), receiving(engine) as made:
        stored = made._stored

        async def slowly(*args: Any) -> Any:
            engine.clock.turn(0.2)
            return await stored(*args)

        monkeypatch.setattr(made, "_stored", slowly)
        await made.append(mail(b"one"))
        await made.append(mail(b"two"))
        assert dict(made.appends.up_to())[0.1] == 0
        assert dict(made.appends.up_to())[0.25] == 2
        assert made.appends.seconds == pytest.approx(0.4)


async def test_a_stream_that_is_full_is_full(engine: JetStreamEngine) -> None:
    async with engine.opened() as journal:
        config = engine_layout(engine)[0] | {"max_msgs": 2}
        await journal._jetstream.ask(f"STREAM.UPDATE.{engine.settings.stream}", config)
        await append(journal, 2)
        with pytest.raises(JournalFull, match="maximum messages exceeded"):
            await journal.append(mail())
        assert "give the stream or its servers more room" in str(journal.trouble)


async def test_no_server_means_trouble_at_once_and_ends_by_itself(
    engine: JetStreamEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "PATIENCE", 0.3)
    async with behind(engine) as (link, one):
        assert one.trouble is None
        target, link.target = link.target, 1
        link.drop()
        await until(lambda: not one._link.up.is_set())
        with pytest.raises(JournalUnavailable, match="not connected to nats"):
            await one.append(mail())
        assert "not connected to nats" in str(one.trouble)
        link.target = target
        await until(one._link.up.is_set)
        assert await one.append(mail()) == 1
        assert one.trouble is None


async def test_an_append_outlives_a_connection(engine: JetStreamEngine) -> None:
    async with behind(engine) as (link, one):
        link.cut()
        appending = [one.append(mail(b"%d" % number)) for number in range(10)]
        await asyncio.sleep(0)
        link.drop()
        link.heal()
        given = await asyncio.wait_for(asyncio.gather(*appending), SOON)
        assert sorted(given) == list(range(1, 11))


async def test_a_server_that_hangs_is_trouble_though_nobody_sends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(publisher, "TRY", 0.3)
    async with running(tmp_path) as server:
        made = await Publisher.open(JetStreamEngine(server.url).settings, SystemClock(), patience=3.0)
        assert made.trouble is None
        await server.hang()
        await until(lambda: made.trouble is not None)
        server.go_on()
        await until(lambda: made.trouble is None)
        await made.close()


async def test_what_json_can_not_say_is_refused(engine: JetStreamEngine) -> None:
    bad = mail()
    bad = msgspec.structs.replace(bad, envelope=msgspec.structs.replace(bad.envelope, mail_from="\udc80"))
    async with engine.opened() as journal:
        with pytest.raises(JournalUnavailable, match="can't be stored"):
            await journal.append(bad)
        assert await journal.append(mail()) == 1


# Sharing.


class Term:
    """A lease in the hand of the test."""

    def __init__(self) -> None:
        self.held: int | None = 1

    def __call__(self) -> int | None:
        return self.held


@asynccontextmanager
async def two_nodes(
    engine: JetStreamEngine, lease: float = 10.0
) -> AsyncIterator[tuple[JetStreamJournal, JetStreamJournal, Term, Term]]:
    terms = Term(), Term()
    async with (
        engine.opened(node="one", term=terms[0], lease=lease) as one,
        engine.opened(node="other", term=terms[1], lease=lease) as other,
    ):
        yield one, other, *terms


async def test_nodes_share_the_work_and_what_one_has_the_other_has_not(engine: JetStreamEngine) -> None:
    async with two_nodes(engine, lease=1.0) as (one, other, _, _):
        consumers = [await each.consumer("a") for each in (one, other)]
        waiting = [asyncio.create_task(consumer.fetch(5)) for consumer in consumers]
        await append(one, 40)
        got: list[list[int]] = [sequences(await each) for each in waiting]
        for consumer, mine in zip(consumers, got, strict=True):
            mine += sequences(await fetch_first(consumer, 3))
        assert not set(got[0]) & set(got[1])
        await asyncio.sleep(1.5)  # longer than the lease: both say that they are at it
        for consumer, mine in zip(consumers, got, strict=True):
            mine += sequences(await fetch_some(consumer, engine))
        assert len(set(got[0]) | set(got[1])) == len(got[0]) + len(got[1])


async def test_each_node_has_its_own_where_it_asks_for_that(engine: JetStreamEngine) -> None:
    async with two_nodes(engine) as (one, other, _, terms):
        terms.held = None
        consumers = [await each.consumer("inbox", own=True) for each in (one, other)]
        await append(one, 5)
        for consumer in consumers:
            assert sequences(await fetch_first(consumer, 5)) == [1, 2, 3, 4, 5]


async def test_a_node_without_the_lease_gets_nothing_and_its_answers_count_for_nothing(
    engine: JetStreamEngine,
) -> None:
    async with two_nodes(engine, lease=1.0) as (one, other, mine, yours):
        yours.held = None
        first, second = await one.consumer("a"), await other.consumer("a")
        await append(one, 4)
        claims = await fetch_first(first, 4)
        assert all(first.holds(claim) for claim in claims)
        mine.held, yours.held = None, 7
        assert not any(first.holds(claim) for claim in claims)
        first.park(claims[0], "no")
        first.retry(claims[1], 0, "no")
        first.release(claims[2])
        first.ack(claims[3])
        assert await fetch_some(first, engine) == []
        taken = await asyncio.wait_for(fetch_first(second, 4), SOON)
        assert sorted(sequences(taken)) == [1, 2, 3, 4]
        assert [claim.attempt for claim in taken] == [1] * 4
        assert await second.parked() == []
        for claim in taken:
            second.ack(claim)
        mine.held, yours.held = 8, None
        assert await fetch_some(first, engine) == []


async def test_a_retry_goes_on_where_another_node_takes_over(engine: JetStreamEngine) -> None:
    async with two_nodes(engine, lease=1.0) as (one, other, mine, yours):
        yours.held = None
        first, second = await one.consumer("a"), await other.consumer("a")
        await append(one, 2)
        for claim in await fetch_first(first, 2):
            first.retry(claim, engine.clock.time() + 10 * claim.sequence, "busy")
        await engine.elapse(1)
        mine.held, yours.held = None, 2
        assert await fetch_some(second, engine) == []
        await second.refresh()
        assert [second.state(sequence) for sequence in (1, 2)] == ["waiting"] * 2
        await engine.elapse(9.5)
        async with asyncio.timeout(SOON):
            [claim] = await fetch_first(second, 1)
        assert (claim.sequence, claim.attempt) == (1, 2)
        assert (await second.fate(2)).reason == "busy"


async def test_what_waits_for_long_is_the_servers_until_then(engine: JetStreamEngine) -> None:
    async with engine.opened() as journal:
        consumer = await journal.consumer("a")
        await append(journal, 1)
        [claim] = await fetch_first(consumer, 1)
        consumer.retry(claim, engine.clock.time() + 3600, "busy")
        assert await fetch_some(consumer, engine) == []
        await engine.elapse(0)
        assert not list(consumer._turns.hands())
        assert consumer.lag == 1
        await consumer.replay([1])
        [claim] = await fetch_first(consumer, 1)
        assert claim.attempt == 1
        consumer.ack(claim)
        assert consumer.lag == 0


async def test_what_nobody_fetches_is_handed_back(engine: JetStreamEngine) -> None:
    async with two_nodes(engine) as (one, other, _, _):
        first, second = await one.consumer("a"), await other.consumer("a")
        fetching = asyncio.create_task(first.fetch(10))
        await append(one, 1)
        [claim] = await fetching
        await append(one, 3)
        engine.clock.turn(5)  # it was busy with that one
        await one.keep()
        assert sorted(sequences(await asyncio.wait_for(fetch_first(second, 3), SOON))) == [2, 3, 4]
        first.ack(claim)


async def test_deliveries_go_on_after_the_connection_was_lost(engine: JetStreamEngine) -> None:
    async with (
        proxied(int(engine.url.rpartition(":")[2])) as link,
        receiving(engine) as there,
    ):
        settings = msgspec.structs.replace(engine.settings, url=(f"nats://127.0.0.1:{link.port}",))
        journal = await WholeJournal.open(settings, engine.clock, lease=1.0, patience=3.0)
        consumer = await journal.consumer("a")
        await there.append(mail(b"one"))
        [claim] = await fetch_first(consumer, 1)
        link.drop()
        consumer.ack(claim)
        await there.append(mail(b"two"))
        async with asyncio.timeout(SOON):
            assert sequences(await fetch_first(consumer, 1)) == [2], "and the first is not repeated"
        await journal.close()


# What becomes of the stream.


def engine_layout(engine: JetStreamEngine) -> list[dict[str, Any]]:
    return [dict(each) for each in stream.Layout(engine.settings.stream, 1).streams()]


async def test_objects_without_their_mail_are_swept_at_second_sight(engine: JetStreamEngine) -> None:
    async with engine.opened() as journal:
        await journal.append(mail(bytes(2_000_000)))
        await journal._large.put("orphan", b"x")
        await journal.trim()
        assert len(await journal._large.names()) == 2
        await journal.trim()
        [kept] = await journal._large.names()
        assert kept != "orphan"
        assert len((await journal.read(1)).raw) == 2_000_000


async def test_retention_removes_large_mail_whole(engine: JetStreamEngine) -> None:
    async with engine.opened() as journal:
        old = int((engine.clock.time() - 3 * 86400) * 1000)
        for size in (2_000_000, 3, 3):
            await journal.append(mail(bytes(size), received_at=old))
        assert await journal.trim() == 2
        assert await journal._large.names() == []
        assert not await is_there(journal, 1)
        info = await journal._jetstream.stream(journal.layout.objects)
        assert info is not None
        assert info.state.messages == 0


async def test_a_stream_that_is_deleted_or_replaced_is_told(
    engine: JetStreamEngine, caplog: pytest.LogCaptureFixture
) -> None:
    for anew in (False, True):
        async with engine.opened() as journal:
            told: list[JournalUnavailable] = []
            journal.on_broken = told.append
            await journal._jetstream.ask(f"STREAM.DELETE.{engine.settings.stream}")
            if anew:
                await journal._jetstream.create_stream(engine_layout(engine)[0])
            await until(lambda: bool(told))  # noqa: B023
            assert ("is another one than at the start" if anew else "is gone") in str(told[0])
            await journal._look()
            assert len(told) == 1
    assert "restart mailbell to go on with what is there now" in caplog.text


async def test_a_stream_that_will_not_do(engine: JetStreamEngine) -> None:
    good = engine_layout(engine)[0]
    for change, why in (
        ({"description": "mine"}, "is not one of mailbell's; choose another name"),
        ({"description": "mailbell's journal, version 2"}, "is of another version of mailbell"),
        ({"storage": "memory"}, "has storage memory, and file is needed"),
        ({"subjects": ["x.>"]}, "has subjects"),
        ({"deny_delete": True}, "has deny_delete"),
    ):
        fresh = JetStreamEngine(engine.url)
        config = good | {"name": fresh.settings.stream, **change}
        if "subjects" not in change:
            config["subjects"] = engine_layout(fresh)[0]["subjects"]
        async with linked(fresh) as api:
            await api.create_stream(config)
        with pytest.raises(StartupError, match=f"the stream {fresh.settings.stream} {why}"):
            await fresh.open()


@asynccontextmanager
async def linked(engine: JetStreamEngine) -> AsyncIterator[JetStream]:
    link = await stream.connect("test", engine.settings, 1.0)
    try:
        yield JetStream(link)
    finally:
        await link.stop()


async def test_too_few_replicas(engine: JetStreamEngine) -> None:
    async with engine.opened():
        pass
    engine.settings = msgspec.structs.replace(engine.settings, replicas=3)
    with pytest.raises(StartupError, match=r"has 1 replicas, and journal.replicas asks for 3"):
        await engine.open()
    with pytest.raises(StartupError, match=r"replicas = 3, and there are not so many servers"):
        await JetStreamEngine(engine.url, replicas=3).open()


@pytest.mark.parametrize("which", SERVERS)
async def test_servers_that_are_none_or_have_no_jetstream(tmp_path: Path, which: str) -> None:
    with pytest.raises(StartupError, match=r"nats 127.0.0.1:1: .*see that the server runs"):
        await WholeJournal.open(JetStreamEngine("nats://127.0.0.1:1").settings, SystemClock(), patience=0)
    async with running(
        tmp_path, "accounts { A { users: [ { user: me, password: hunter2 } ] } }", which
    ) as server:
        secret = JetStreamEngine(server.url, user="me", password="hunter2").settings
        with pytest.raises(StartupError, match="JetStream is not enabled there, or not for us"):
            await WholeJournal.open(secret, SystemClock(), patience=0)
        wrong = msgspec.structs.replace(secret, password="hunter3")
        with pytest.raises(StartupError, match=r"Authorization Violation|reset by peer") as caught:
            await WholeJournal.open(wrong, SystemClock(), patience=0)
        assert "hunter" not in str(caught.value)


RIGHTS = """
authorization {{ users: [ {{ user: me, password: hunter2, permissions: {{
  publish: [ "{stream}.>", "$JS.API.>", "$JS.ACK.>", "$KV.{stream}_LEASE.>", "$O.{stream}_LARGE.>" ]
  subscribe: [ "_INBOX.>", "{stream}.answered" ]
}} }} ] }}
"""


@pytest.mark.parametrize("which", SERVERS)
async def test_as_few_rights_as_the_documentation_says(tmp_path: Path, which: str) -> None:
    rights = RIGHTS.format(stream="MAILBELL")
    async with running(tmp_path, rights, which) as server:
        engine = JetStreamEngine(server.url, stream="MAILBELL", user="me", password="hunter2")
        async with engine.opened() as journal:
            lease = JetStreamLease(
                journal._jetstream,
                "MAILBELL_LEASE",
                1,
                mode="active-standby",
                node="n",
                folder="n",
                seconds=1.0,
                clock=engine.clock,
            )
            await lease.start()
            assert await asyncio.wait_for(lease.other_than(None), SOON) is not None
            consumer = await journal.consumer("a")
            assert await journal.append(mail(bytes(2_000_000))) == 1
            assert await journal.append(mail()) == 2
            first, second = await fetch_first(consumer, 2)
            consumer.retry(first, engine.clock.time() + 1, "busy")
            consumer.park(second, "no")
            await engine.elapse(2)
            [claim] = await fetch_first(consumer, 1)
            assert len((await journal.read(claim.sequence)).raw) == 2_000_000
            consumer.ack(claim)
            await consumer.replay([2])
            await consumer.discard([2])
            await journal.trim()
            await journal.forget("a")
            await lease.stop()


async def test_a_start_waits_for_servers_that_come_late(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as server:
        await server.kill()
        opening = asyncio.create_task(
            WholeJournal.open(JetStreamEngine(server.url).settings, SystemClock(), patience=SOON)
        )
        await until(lambda: "Trying for 20 s" in caplog.text)
        await server.start()
        journal = await asyncio.wait_for(opening, SOON)
        assert await journal.append(mail()) == 1
        await journal.close()


def test_what_is_less_than_one_may_think(engine: JetStreamEngine) -> None:
    config, settings = engine_layout(engine)[0], engine.settings
    assert list(stream.cautions(config, settings)) == []
    [said] = stream.cautions(config, msgspec.structs.replace(settings, synced=False))
    assert "a power cut can lose mail that got its 250" in said
    [said] = stream.cautions(config | {"discard": "old", "max_bytes": 5}, settings)
    assert "drops its oldest mail when it is full" in said
    [said] = stream.cautions(config | {"max_age": 5}, settings)
    assert "has a max_age" in said


async def test_throughput_is_not_held_up_by_one_that_waits(engine: JetStreamEngine) -> None:
    """A thousand events through one consumer, one of them a nuisance."""
    async with engine.opened() as journal:
        consumer: Consumer = await journal.consumer("a")
        await asyncio.gather(*(journal.append(mail(b"%d" % number)) for number in range(1000)))
        began = time.monotonic()
        settled: set[int] = set()
        while len(settled) < 999:
            for claim in await asyncio.wait_for(consumer.fetch(32), SOON):
                if claim.sequence == 1:
                    consumer.retry(claim, engine.clock.time() + 3600, "busy")
                else:
                    consumer.ack(claim)
                    settled.add(claim.sequence)
        assert time.monotonic() - began < SOON
        assert consumer.lag == 1
        assert await fetch_all(consumer, engine) == []
