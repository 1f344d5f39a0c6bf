"""The lease on a real server, by clocks that are turned by hand."""

import asyncio
import json
import random
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mailbell.clock import SystemClock
from mailbell.lease.base import Lease
from mailbell.lease.jetstream import JetStreamLease
from mailbell.remote.jetstream import JetStream, JetStreamError
from mailbell.remote.nats import NatsLink, NatsOptions, NatsUnavailable
from tests.natsd import SERVERS, serving

LEASE = 10.0


@pytest.fixture(scope="module", params=SERVERS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("nats"), request.param) as url:
        yield url


class House:
    """One bucket, one clock, and nodes that are stepped by hand."""

    def __init__(self, jetstream: JetStream) -> None:
        self.jetstream = jetstream
        self.bucket = f"L{secrets.token_hex(6)}"
        self.time = 1000.0

    def node(self, name: str, folder: str = "", mode: Any = "active-standby") -> JetStreamLease:
        return JetStreamLease(
            self.jetstream,
            self.bucket,
            1,
            mode=mode,
            node=name,
            folder=folder or name,
            seconds=LEASE,
            clock=SystemClock(),
            now=lambda: self.time,
        )

    async def pair(self) -> tuple[JetStreamLease, JetStreamLease]:
        """The first is active."""
        one, other = self.node("one"), self.node("other")
        await one._have_bucket()
        await one._try()
        assert not held(one), "a key that is not there may have been deleted under somebody"
        self.time += LEASE
        await one._try()
        await other._try()
        assert (one.term is not None, other.term) == (True, None)
        return one, other


@pytest.fixture
async def house(url: str) -> AsyncIterator[House]:
    async with linked(url) as jetstream:
        yield House(jetstream)


@asynccontextmanager
async def linked(url: str) -> AsyncIterator[JetStream]:
    link = NatsLink("test", NatsOptions(servers=(url,)), (0.05,))
    await link.start()
    try:
        yield JetStream(link)
    finally:
        await link.stop()


def held(lease: JetStreamLease) -> bool:
    return lease.term is not None


async def test_it_is_a_lease(house: House) -> None:
    lease: Lease = house.node("one")
    assert lease.term is None


async def test_it_passes_when_it_was_not_renewed_for_its_whole_time(house: House) -> None:
    one, other = await house.pair()
    house.time += LEASE - 1
    await one._renew()
    house.time += LEASE - 1
    await other._try()
    assert held(one)
    assert not held(other)
    house.time += 0.6
    assert not held(one), "its time is over before another's begins"
    house.time += LEASE
    await other._try()
    assert held(other)
    assert (one.standing.active, other.standing.holder) == (False, "other")
    await one._try()
    assert (one.term, one.standing.holder) == (None, "other")


async def test_who_was_stopped_and_goes_on_is_not_active(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = await house.pair()
    house.time += LEASE
    await other._try()
    house.time += LEASE
    await other._try()
    assert held(other)
    assert not held(one)
    await one._try()
    assert not held(one)
    assert "one is no longer active: the lease could not be renewed in time" in caplog.text


async def test_who_is_overtaken_hears_of_it_when_it_renews(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = await house.pair()
    await other._write(other._holder, one._revision)
    await one._renew()
    assert not held(one)
    assert "another node has taken over" in caplog.text


async def test_a_renewal_whose_answer_was_lost(house: House) -> None:
    one, _ = await house.pair()
    term = one.term
    await one._write(one._holder, one._revision)
    await one._renew()
    assert one.term == term
    house.time += LEASE / 2
    await one._renew()
    assert one.term == term


async def test_a_renewal_that_is_answered_too_late_brings_nothing_back(house: House) -> None:
    one, other = await house.pair()

    async def wait() -> None:
        house.time += LEASE + 1

    one.before_renewal = wait
    await one._renew()
    assert not held(one)
    await other._try()
    assert not held(other)
    await one._try()
    assert held(one), "its own name in the key: nobody else has it"


async def test_who_stops_leaves_it_free_at_once(house: House) -> None:
    one, other = await house.pair()
    await one.stop()
    assert not held(one)
    await other._try()
    assert held(other)


async def test_who_was_killed_and_is_back_knows_its_own(house: House) -> None:
    one, _ = await house.pair()
    again, third = house.node("one", folder="one"), house.node("one", folder="copied?")
    await third._try()
    assert not held(third)
    await again._try()
    assert held(again)
    assert again.term != one._term


async def test_a_key_that_was_deleted_is_waited_for_too(house: House) -> None:
    one, other = await house.pair()
    await house.jetstream.ask(f"STREAM.DELETE.KV_{house.bucket}")
    await other._have_bucket()
    await other._try()
    house.time += LEASE - 1
    await other._try()
    assert not held(other)
    assert held(one)
    await one._renew()
    assert not held(one), "the key is gone, and with it the fence"
    house.time += 1
    await other._try()
    assert held(other)


async def test_a_bucket_made_anew_keeps_what_it_takes(house: House, url: str) -> None:
    """A stream made while nats-server 2.9 deletes the one before acknowledges, and keeps nothing."""
    lease = house.node("one")
    await lease._have_bucket()
    async with linked(url) as elsewhere:  # one connection's requests are dealt with one after the other
        for _ in range(10):
            for number in range(20):  # to be deleted takes them a moment
                await house.jetstream.publish(f"{lease._subject}.{number}", bytes(100))
            deleting = asyncio.create_task(elsewhere.ask(f"STREAM.DELETE.{lease._stream}"))
            while not deleting.done():
                await lease._make_bucket_anew()
            await lease._make_bucket_anew()
            written = await lease._write(lease._holder, 0)
            found, holder = await lease._read()
            assert found is not None
            assert (found.seq, holder) == (written, lease._holder)


async def test_a_bug_in_one_round_is_not_the_end_of_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is: here where the bucket would be made anew."""
    lease, rounds = house.node("one"), asyncio.Semaphore(0)
    await lease.start()

    async def fail() -> None:
        raise NatsUnavailable("not there")

    async def fail_too() -> None:
        rounds.release()
        raise ValueError("a bug")

    monkeypatch.setattr(lease, "_try", fail)
    monkeypatch.setattr(lease, "_make_bucket_anew", fail_too)
    async with asyncio.timeout(10):
        for _ in range(2):
            await rounds.acquire()
    await lease.stop()


async def test_somebody_elses_value_is_waited_for_like_a_holder(house: House) -> None:
    _, other = await house.pair()
    await house.jetstream.publish(other._subject, b"no JSON")
    await other._try()
    assert not held(other)
    house.time += LEASE
    await other._try()
    assert held(other)


async def test_each_node_has_its_own_where_all_are_active(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = house.node("one", mode="all-active"), house.node("other", mode="all-active")
    namesake = house.node("one", folder="elsewhere", mode="all-active")
    await one._have_bucket()
    for _ in range(2):
        await one._try()
        await other._try()
        house.time += LEASE - 1
    house.time += 1
    await one._try()
    await other._try()
    assert held(one)
    assert held(other)
    await namesake._try()
    assert not held(namesake)
    assert "another node is called one" in caplog.text


async def test_it_runs_by_itself_and_wakes_who_waits(url: str) -> None:
    async with linked(url) as jetstream:
        bucket = f"L{secrets.token_hex(6)}"

        def make(name: str) -> JetStreamLease:
            how: Any = {"mode": "active-standby", "seconds": 1.0, "clock": SystemClock()}
            return JetStreamLease(jetstream, bucket, 1, node=name, folder=name, **how)

        one, other = make("one"), make("other")
        await one.start()
        term = await asyncio.wait_for(one.other_than(None), 10)
        await other.start()
        assert term is not None
        waiting = asyncio.create_task(other.other_than(None))
        await one.stop()
        assert await asyncio.wait_for(waiting, 10) is not None
        assert json.loads(json.dumps(other.standing.holder)) == "other"
        await other.stop()


async def test_there_are_never_two(house: House) -> None:
    """Three nodes at random: each is stepped or not, time passes, the key is deleted now and then."""
    chance = random.Random(secrets.randbits(32))
    nodes = [house.node(name) for name in ("a", "b", "c")]
    await nodes[0]._have_bucket()
    won: set[tuple[str, int | None]] = set()
    for _ in range(600):
        house.time += chance.choice([0.1, 0.5, 1.0, 3.0, 9.0, 9.6])
        node = chance.choice(nodes)
        try:
            await (node._renew() if node.term is not None else node._try())
        except JetStreamError as error:
            pytest.fail(str(error))
        if chance.random() < 0.01:
            await house.jetstream.purge(f"KV_{house.bucket}", filter=node._subject)
        active = [each for each in nodes if each.term is not None]
        assert len(active) <= 1
        won.update((each._holder.node, each.term) for each in active)
    assert len({name for name, _ in won}) == 3
    assert len(won) > 5
