"""The consumer of the SQLite engine: what is beyond the port."""

from pathlib import Path

import pytest

from mailbell.journal import consumers
from mailbell.journal.base import Claim
from tests.journal.conformance import append, fetch_all, sequences
from tests.journal.engines import SqliteEngine, writer


async def test_an_unanswered_claim_does_not_make_a_kill_repeat_everything(
    engine: SqliteEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "MAX_AHEAD", 5)
    async with engine.opened() as journal:
        consumer = await journal.consumer("a")
        await append(journal, 20)
        stuck, *others = await fetch_all(consumer, engine)
        for claim in others:
            consumer.ack(claim)
        assert (consumer.position, consumer.lag) == (20, 1)
        assert repr(consumer) == "<SqliteConsumer a at 20, 1 claimed, 1 waiting>"
        await consumer.parked()
        left = engine.copy(tmp_path / "left")
        consumer.ack(stuck)
        assert consumer.lag == 0
    async with left.opened() as journal:
        assert await fetch_all(await journal.consumer("a"), left) == [Claim(1)]


async def test_no_new_events_while_very_many_wait(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "MAX_WAITING", 3)
    async with engine.opened() as journal:
        consumer = await journal.consumer("a")
        await append(journal, 5)
        for claim in await consumer.fetch(3):
            consumer.retry(claim, engine.clock.time() + 10, "down")
        assert await fetch_all(consumer, engine) == []
        await engine.elapse(11)
        claims = await consumer.fetch(3)
        assert sequences(claims) == [1, 2, 3]
        consumer.ack(claims[0])
        assert sequences(await consumer.fetch(1)) == [4]


async def test_the_agenda_does_not_grow_with_ordered_retries(engine: SqliteEngine) -> None:
    async with engine.opened() as journal:
        consumer = await journal.consumer("a")
        await append(journal, 1)
        for _ in range(50):
            (claim,) = await consumer.fetch(1, ordered=True)
            consumer.retry(claim, engine.clock.time() + 1, "busy")
            await engine.elapse(1.1)
        assert len(consumer._agenda) == 1


async def test_what_waits_or_is_parked_beyond_an_unanswered_one_survives_a_kill(
    engine: SqliteEngine, tmp_path: Path
) -> None:
    async with engine.opened() as journal:
        consumer = await journal.consumer("a")
        await append(journal, 4)
        _, second, third, _ = await fetch_all(consumer, engine)
        consumer.park(second, "no")
        consumer.retry(third, engine.clock.time() + 10, "busy")
        assert len(await consumer.parked()) == 1
        left = engine.copy(tmp_path / "left")
    async with left.opened() as journal:
        consumer = await journal.consumer("a")
        assert (consumer.position, consumer.lag) == (0, 3)
        claims = await fetch_all(consumer, left)
        assert claims == [Claim(1), Claim(4)]
        for claim in claims:
            consumer.ack(claim)
        assert consumer.position == 4
        await left.elapse(11)
        (again,) = await fetch_all(consumer, left)
        assert (again.sequence, again.attempt) == (3, 2)


@pytest.mark.parametrize("limit", [1, 3], ids=["not yet fetched", "unanswered"])
async def test_what_is_discarded_beyond_what_is_not_settled_stays_so(
    engine: SqliteEngine, tmp_path: Path, limit: int
) -> None:
    async with engine.opened() as journal:
        consumer = await journal.consumer("a")
        await append(journal, 4)
        consumer.park((await fetch_all(consumer, engine))[2], "no")
        await consumer.parked()
        killed = engine.copy(tmp_path / "killed")
    async with killed.opened() as journal:
        consumer = await journal.consumer("a")
        first, *_ = await consumer.fetch(limit)
        await consumer.discard([3, 99])
        assert consumer.position >= 3
        assert consumer.lag == 3
        left = killed.copy(tmp_path / "left")
        consumer.ack(first)
        assert consumer.lag == 2
    async with left.opened() as journal:
        claims = await fetch_all(await journal.consumer("a"), left)
        assert sorted(sequences(claims)) == [1, 2, 4]
        assert {each.attempt for each in claims} == {1}


@pytest.mark.parametrize("ordered", [False, True])
async def test_what_was_answered_beyond_the_floor_does_not_come_as_new_when_the_floor_passes_it(
    engine: SqliteEngine, tmp_path: Path, ordered: bool
) -> None:
    """One at a time: after the first, the next to look at was one that the floor had passed meanwhile."""
    async with engine.opened() as journal:
        consumer = await journal.consumer("a")
        await append(journal, 4)
        _, second, third, _ = await fetch_all(consumer, engine)
        consumer.park(second, "no")
        consumer.retry(third, engine.clock.time() + 10, "busy")
        assert len(await consumer.parked()) == 1
        left = engine.copy(tmp_path / "left")
    async with left.opened() as journal:
        consumer = await journal.consumer("a")
        (claim,) = await consumer.fetch(1, ordered=ordered)
        assert claim == Claim(1)
        await left.elapse(11)
        consumer.ack(claim)
        assert consumer.position == 3
        (again,) = await consumer.fetch(1, ordered=ordered)
        assert (again.sequence, again.attempt) == (3, 2)
        consumer.ack(again)
        assert await fetch_all(consumer, left, ordered) == [Claim(4)]


async def test_what_waits_just_behind_removed_mail_is_not_new_too(
    engine: SqliteEngine, tmp_path: Path
) -> None:
    """The mail before it went while its consumer was not served."""
    async with engine.opened() as journal:
        consumer = await journal.consumer("a")
        await append(journal, 3)
        first, *others = await fetch_all(consumer, engine)
        for claim in others:
            consumer.retry(claim, engine.clock.time() + 10, "busy")
        await consumer.parked()
        left = engine.copy(tmp_path / "left")
    async with left.opened() as journal:
        await writer(journal).remove([first.sequence])
        consumer = await journal.consumer("a")
        assert (consumer.position, consumer.lag) == (3, 2)
        assert await fetch_all(consumer, left) == []
        await left.elapse(11)
        assert [(each.sequence, each.attempt) for each in await consumer.fetch(5)] == [(2, 2), (3, 2)]


async def test_any_text_is_a_reason(engine: SqliteEngine) -> None:
    async with engine.opened() as journal:
        consumer = await journal.consumer("a")
        await append(journal, 2)
        for claim in await consumer.fetch(2):
            consumer.park(claim, "\udcff\0ü" + "x" * 10_000)
        assert [each.reason[:4] for each in await consumer.parked()] == ["?\0üx", "?\0üx"]


async def test_an_event_claimed_in_order_is_not_claimed_again_out_of_order(engine: SqliteEngine) -> None:
    async with engine.opened() as journal:
        consumer = await journal.consumer("a")
        await append(journal, 1)
        (claim,) = await consumer.fetch(1)
        consumer.retry(claim, engine.clock.time(), "busy")
        assert len(await consumer.fetch(1, ordered=True)) == 1
        assert await fetch_all(consumer, engine) == []
