"""What every engine's journal must do: each check gets an engine with an empty journal."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import pytest

from mailbell.clock import Clock
from mailbell.errors import JournalUnavailable, MailGone
from mailbell.journal.base import Claim, Consumer, Fate, Journal
from mailbell.mail import Envelope, Mail, Source, Tls, new_id


class Engine(Protocol):
    """Makes journals over one storage."""

    quiet: float
    """Seconds after which an event that has not come is not coming."""

    @property
    def clock(self) -> Clock:
        """The clock that the journal goes by."""
        ...

    def open(self) -> Awaitable[Journal]:
        """Open the storage, as after a start of the process."""
        ...

    async def elapse(self, seconds: float) -> None:
        """Let so much time pass for retries."""
        ...

    def set_clock_back(self, seconds: float) -> None:
        """Set the wall clock back, as an NTP client may."""
        ...


Check = Callable[[Engine], Awaitable[None]]


def mail(raw: bytes = b"Subject: x\r\n\r\n", received_at: int = 1_790_000_000_123) -> Mail:
    """A mail with every field filled."""
    source = Source("192.168.1.50", 40123, "cam.lan", "camera", Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384"))
    envelope = Envelope("", ("gate@home.lan", "Tür@home.lan"))
    return Mail(new_id(received_at), received_at, "smtp", source, envelope, raw)


@asynccontextmanager
async def opened(engine: Engine) -> AsyncIterator[Journal]:
    journal = await engine.open()
    try:
        yield journal
    finally:
        await journal.close()


async def append(journal: Journal, count: int) -> list[int]:
    """Append so many mails, one after the other."""
    return [await journal.append(mail()) for _ in range(count)]


async def fetch_all(consumer: Consumer, engine: Engine, ordered: bool = False) -> list[Claim]:
    """Fetch until no more comes."""
    claims: list[Claim] = []
    while more := await fetch_some(consumer, engine, ordered):
        claims += more
    return claims


async def fetch_first(consumer: Consumer, count: int) -> list[Claim]:
    """Fetch so many, in however many portions they come."""
    claims: list[Claim] = []
    while len(claims) < count:
        claims += await consumer.fetch(count - len(claims))
    return claims


async def fetch_some(consumer: Consumer, engine: Engine, ordered: bool = False) -> Sequence[Claim]:
    try:
        async with asyncio.timeout(engine.quiet):
            return await consumer.fetch(100, ordered=ordered)
    except TimeoutError:
        return []


def sequences(claims: Sequence[Claim]) -> list[int]:
    return [claim.sequence for claim in claims]


async def appended_mail_is_read_as_it_was(engine: Engine) -> None:
    mails = [mail(bytes(range(256))), mail(b""), mail(b"\0" * 3_000_000, received_at=0)]
    async with opened(engine) as journal:
        assert [await journal.append(each) for each in mails] == [1, 2, 3]
        assert [await journal.read(sequence) for sequence in (1, 2, 3)] == mails
    async with opened(engine) as journal:
        assert [await journal.read(sequence) for sequence in (3, 1, 2)] == [mails[2], mails[0], mails[1]]
        assert journal.last_sequence == 3
        assert journal.trouble is None


async def concurrent_appends_have_no_holes(engine: Engine) -> None:
    mails = [mail(b"%d" % number) for number in range(300)]
    async with opened(engine) as journal:
        given = await asyncio.gather(*map(journal.append, mails))
        assert sorted(given) == list(range(1, 301))
    async with opened(engine) as journal:
        assert [await journal.read(sequence) for sequence in given] == mails
        assert await journal.append(mail()) == 301


async def a_cancelled_append_harms_no_other(engine: Engine) -> None:
    async with opened(engine) as journal:
        tasks = [asyncio.ensure_future(journal.append(mail(b"%d" % number))) for number in range(10)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(3), asyncio.CancelledError)
        assert len(set(results)) == 9


async def what_is_not_there_is_gone(engine: Engine) -> None:
    async with opened(engine) as journal:
        for sequence in (0, 1, 10**12):
            with pytest.raises(MailGone, match=str(sequence)):
                await journal.read(sequence)


async def the_first_consumer_sees_everything_a_later_one_what_comes(engine: Engine) -> None:
    async with opened(engine) as journal:
        first = await journal.consumer("first")
        await append(journal, 3)
        later = await journal.consumer("later")
        await append(journal, 2)
        assert sequences(await fetch_all(first, engine)) == [1, 2, 3, 4, 5]
        assert sequences(await fetch_all(later, engine)) == [4, 5]
        assert (first.name, first.position, first.lag) == ("first", 0, 5)
        assert (later.position, later.lag) == (3, 2)


async def the_start_of_a_consumer_is_durable(engine: Engine) -> None:
    async with opened(engine) as journal:
        await append(journal, 2)
        await journal.consumer("early")
    async with opened(engine) as journal:
        await append(journal, 1)
        assert sequences(await fetch_all(await journal.consumer("early"), engine)) == [3]


async def fetch_waits_for_mail_and_keeps_to_its_limit(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        waiting = asyncio.create_task(consumer.fetch(2))
        await append(journal, 1)
        assert await waiting == [Claim(1)]
        await append(journal, 3)
        came: list[int] = []
        while len(came) < 3:
            some = sequences(await consumer.fetch(2))
            assert 1 <= len(some) <= 2
            came += some
        assert came == [2, 3, 4]


async def a_cancelled_fetch_claims_nothing(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        waiting = asyncio.create_task(consumer.fetch(2))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await append(journal, 1)
        assert sequences(await consumer.fetch(2)) == [1]


async def acknowledged_events_do_not_come_back(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 4)
        claims = await fetch_all(consumer, engine)
        for claim in (claims[2], claims[0], claims[1]):
            consumer.ack(claim)
        assert (consumer.position, consumer.lag) == (3, 1)
    async with opened(engine) as journal:
        assert sequences(await fetch_all(await journal.consumer("a"), engine)) == [4]


async def unanswered_claims_come_again(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 5)
        claims = await fetch_all(consumer, engine)
        consumer.ack(claims[1])
        consumer.ack(claims[4])
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        assert consumer.lag == 3
        again = await fetch_all(consumer, engine)
        assert sorted(again, key=lambda claim: claim.sequence) == [Claim(1), Claim(3), Claim(4)]


async def a_retry_comes_when_it_is_due_and_holds_nothing_up(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 2)
        first, second = await fetch_all(consumer, engine)
        start = engine.clock.time()
        consumer.retry(first, start + 10, "busy")
        consumer.ack(second)
        assert (consumer.position, consumer.lag) == (2, 1)
        await engine.elapse(9.9)
        assert await fetch_all(consumer, engine) == []
        await engine.elapse(0.2)
        (again,) = await fetch_all(consumer, engine)
        assert (again.sequence, again.attempt) == (1, 2)
        assert again.first_attempt_at == pytest.approx(start, abs=1)
        consumer.ack(again)
        assert consumer.lag == 0


async def a_retry_survives_a_restart(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 1)
        for attempt in (1, 2):
            (claim,) = await fetch_all(consumer, engine)
            assert claim.attempt == attempt
            consumer.retry(claim, engine.clock.time() + 10, "busy")
            await engine.elapse(10.1 if attempt == 1 else 4)
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        assert await fetch_all(consumer, engine) == []
        await engine.elapse(6.1)
        (again,) = await fetch_all(consumer, engine)
        assert again.attempt == 3
        assert again.first_attempt_at == pytest.approx(claim.first_attempt_at, abs=5)


async def a_clock_set_forward_makes_no_event_older(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 1)
        (claim,) = await fetch_all(consumer, engine)
        consumer.retry(claim, engine.clock.time() + 10, "busy")
        engine.set_clock_back(-1e9)  # a box without a battery has heard of the time
        await engine.elapse(10.1)
        (again,) = await fetch_all(consumer, engine)
        assert again.first_attempt_at == pytest.approx(engine.clock.time() - 10.1, abs=1)


async def a_dismissed_consumer_keeps_its_place_and_holds_nothing(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 3)
        first, second, _ = await fetch_all(consumer, engine)
        consumer.ack(first)
        consumer.park(second, "no")
        await journal.dismiss("a")
        consumer = await journal.consumer("a")
        assert consumer.lag == 1
        assert [each.sequence for each in await consumer.parked()] == [2]
        assert [each.sequence for each in await fetch_all(consumer, engine)] == [3]
        await journal.dismiss("a")
        await engine.elapse(2 * 86400)
        assert await journal.trim() == 2  # all but the newest


async def a_clock_set_back_does_not_strand_a_retry(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 2)
        for claim in await fetch_all(consumer, engine):
            consumer.retry(claim, engine.clock.time() + 10, "busy")
        engine.set_clock_back(100_000)
        await engine.elapse(10.1)
        consumer.ack((await fetch_all(consumer, engine))[0])
    engine.set_clock_back(100_000)
    async with opened(engine) as journal:
        await engine.elapse(10.1)
        assert sequences(await fetch_all(await journal.consumer("a"), engine)) == [2]


async def due_retries_come_before_new_events(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 2)
        for claim in await fetch_all(consumer, engine):
            consumer.retry(claim, engine.clock.time() + 3 - claim.sequence, "busy")
        await append(journal, 2)
        await engine.elapse(3)
        assert sequences(await fetch_all(consumer, engine)) == [2, 1, 3, 4]


async def parked_events_are_listed_and_replayed(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 3)
        claims = await fetch_all(consumer, engine)
        consumer.park(claims[2], "no")
        consumer.park(claims[0], "never")
        consumer.ack(claims[1])
        assert consumer.lag == 0
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        assert await fetch_all(consumer, engine) == []
        assert [(each.sequence, each.attempts, each.reason) for each in await consumer.parked()] == [
            (1, 1, "never"),
            (3, 1, "no"),
        ]
        await consumer.replay([3])
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        assert [each.sequence for each in await consumer.parked()] == [1]
        assert await fetch_all(consumer, engine) == [Claim(3)]
        await consumer.discard([1])
        assert await consumer.parked() == []


async def how_it_stands_with_each_event(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 5)
        settled, waiting, parked, _ = await fetch_first(consumer, 4)
        consumer.ack(settled)
        consumer.retry(waiting, engine.clock.time() + 10, "busy")
        consumer.park(parked, "never")
        assert consumer.parked_count == 1
        states = [consumer.state(sequence) for sequence in range(1, 6)]
        assert states == ["settled", "waiting", "parked", "pending", "pending"]
        assert await consumer.fate(1) == Fate(state="settled")
        assert await consumer.fate(5) == Fate(state="pending")
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        assert [consumer.state(sequence) for sequence in range(1, 6)] == states
        assert consumer.parked_count == 1
        now = engine.clock.time()
        fate = await consumer.fate(2)
        assert (fate.state, fate.attempts, fate.reason) == ("waiting", 1, "busy")
        assert fate.due == pytest.approx(now + 10, abs=5)
        assert fate.at == pytest.approx(now, abs=5)
        fate = await consumer.fate(3)
        assert (fate.state, fate.attempts, fate.reason, fate.due) == ("parked", 1, "never", None)
        assert fate.at == pytest.approx(now, abs=5)
        await consumer.replay([2, 3])
        assert [consumer.state(sequence) for sequence in (2, 3)] == ["pending"] * 2
        for claim in await fetch_all(consumer, engine):
            consumer.park(claim, "no")
        await consumer.discard([3])
        assert [consumer.state(sequence) for sequence in (2, 3)] == ["parked", "settled"]


async def settled_and_waiting_events_are_replayed_at_once(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 4)
        claims = await fetch_first(consumer, 3)
        consumer.ack(claims[0])
        consumer.retry(claims[1], engine.clock.time() + 3600, "busy")
        await consumer.replay([1, 2, 3, 4, 5])
        assert sorted(await fetch_all(consumer, engine), key=lambda claim: claim.sequence) == [
            Claim(1),
            Claim(2),
            Claim(4),
        ]
        assert consumer.lag == 4


async def a_released_claim_was_never_fetched(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 1)
        (claim,) = await consumer.fetch(9)
        consumer.release(claim)
        assert consumer.lag == 1
        assert await consumer.fetch(9) == [Claim(1)]


async def ordered_means_one_by_one(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 3)
        (first,) = await consumer.fetch(9, ordered=True)
        assert await fetch_all(consumer, engine, ordered=True) == []
        consumer.retry(first, engine.clock.time() + 10, "busy")
        assert await fetch_all(consumer, engine, ordered=True) == []
        await engine.elapse(10.1)
        for expected in (1, 2, 3):
            (claim,) = await consumer.fetch(9, ordered=True)
            assert claim.sequence == expected
            consumer.ack(claim)
        await consumer.replay([2])
        await append(journal, 1)
        assert sequences(await consumer.fetch(9, ordered=True)) == [2]


async def an_answer_wakes_an_ordered_fetch(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 2)
        (claim,) = await consumer.fetch(9, ordered=True)
        waiting = asyncio.create_task(consumer.fetch(9, ordered=True))
        await asyncio.sleep(0)
        consumer.ack(claim)
        assert sequences(await waiting) == [2]


async def a_claim_is_answered_once(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 1)
        (claim,) = await consumer.fetch(1)
        consumer.ack(claim)
        with pytest.raises(ValueError, match="event 1 is not claimed"):
            consumer.ack(claim)


async def consumers_do_not_know_of_each_other(engine: Engine) -> None:
    async with opened(engine) as journal:
        one, other = await journal.consumer("one"), await journal.consumer("other")
        assert await journal.consumer("one") is one
        await append(journal, 2)
        for claim in await fetch_all(one, engine):
            one.ack(claim)
        assert (one.lag, other.lag) == (0, 2)
        assert sequences(await fetch_all(other, engine)) == [1, 2]


async def a_forgotten_consumer_begins_anew(engine: Engine) -> None:
    async with opened(engine) as journal:
        consumer = await journal.consumer("a")
        await append(journal, 3)
        claims = await fetch_all(consumer, engine)
        consumer.park(claims[0], "no")
        consumer.retry(claims[1], engine.clock.time(), "busy")
        await journal.forget("a")
        await append(journal, 1)
        anew = await journal.consumer("a")
        assert await anew.parked() == []
        assert anew.lag == 0
        assert await fetch_all(anew, engine) == []


async def a_closed_journal_takes_nothing(engine: Engine) -> None:
    journal = await engine.open()
    consumer = await journal.consumer("a")
    await append(journal, 1)
    await journal.close()
    await journal.close()
    refused: list[Callable[[], Awaitable[object]]] = [
        lambda: journal.append(mail()),
        lambda: journal.read(1),
        lambda: consumer.fetch(1),
        lambda: journal.consumer("b"),
    ]
    for each in refused:
        with pytest.raises(JournalUnavailable, match="closed"):
            await each()


async def closing_finishes_appends_and_ends_fetches(engine: Engine) -> None:
    journal = await engine.open()
    consumer = await journal.consumer("a")
    fetching = asyncio.create_task(consumer.fetch(1))
    await asyncio.sleep(0)
    await journal.close()
    with pytest.raises(JournalUnavailable, match="closed"):
        await fetching
    journal = await engine.open()
    appending = [asyncio.ensure_future(journal.append(mail())) for _ in range(300)]
    await asyncio.sleep(0)
    await journal.close()
    assert sorted(await asyncio.gather(*appending)) == list(range(1, 301))
    async with opened(engine) as journal:
        assert sequences(await fetch_all(await journal.consumer("a"), engine)) == list(range(1, 301))


async def retention_removes_what_all_have_acknowledged(engine: Engine) -> None:
    """The engine's settings: nothing is kept for longer than a day."""
    day = 86_400_000
    async with opened(engine) as journal:
        fast, slow = await journal.consumer("fast"), await journal.consumer("slow")
        now = int(engine.clock.time() * 1000)
        for age in (3, 3, 3, 3, 0, 3, 3):
            await journal.append(mail(received_at=now - age * day))
        for claim in await fetch_all(fast, engine):
            fast.ack(claim)
        assert await journal.trim() == 0
        claims = await fetch_all(slow, engine)
        slow.park(claims[0], "no")
        slow.retry(claims[2], engine.clock.time() + 10, "busy")
        for number in (1, 3, 4, 5):
            slow.ack(claims[number])
        assert await journal.trim() == 3
        for sequence, there in (
            (1, True),
            (2, False),
            (3, True),
            (4, False),
            (5, True),
            (6, False),
            (7, True),
        ):
            assert await is_there(journal, sequence) is there, sequence
        await slow.discard([1])
        await engine.elapse(11)
        slow.ack((await fetch_all(slow, engine))[0])
        slow.ack(claims[6])
        assert await journal.trim() == 2
        assert await journal.append(mail()) == 8


async def is_there(journal: Journal, sequence: int) -> bool:
    try:
        await journal.read(sequence)
    except MailGone:
        return False
    return True


CHECKS: tuple[Check, ...] = (
    appended_mail_is_read_as_it_was,
    concurrent_appends_have_no_holes,
    a_cancelled_append_harms_no_other,
    what_is_not_there_is_gone,
    the_first_consumer_sees_everything_a_later_one_what_comes,
    the_start_of_a_consumer_is_durable,
    fetch_waits_for_mail_and_keeps_to_its_limit,
    a_cancelled_fetch_claims_nothing,
    acknowledged_events_do_not_come_back,
    unanswered_claims_come_again,
    a_retry_comes_when_it_is_due_and_holds_nothing_up,
    a_retry_survives_a_restart,
    a_clock_set_back_does_not_strand_a_retry,
    a_clock_set_forward_makes_no_event_older,
    a_dismissed_consumer_keeps_its_place_and_holds_nothing,
    due_retries_come_before_new_events,
    parked_events_are_listed_and_replayed,
    how_it_stands_with_each_event,
    settled_and_waiting_events_are_replayed_at_once,
    a_released_claim_was_never_fetched,
    ordered_means_one_by_one,
    an_answer_wakes_an_ordered_fetch,
    a_claim_is_answered_once,
    consumers_do_not_know_of_each_other,
    a_forgotten_consumer_begins_anew,
    a_closed_journal_takes_nothing,
    closing_finishes_appends_and_ends_fetches,
    retention_removes_what_all_have_acknowledged,
)
