"""The consumer loop over a real journal, with a sink that records."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from mailbell.clock import SystemClock
from mailbell.delivery import consumer as consumer_module
from mailbell.delivery import feed as feed_module
from mailbell.delivery.alignment import Alignment
from mailbell.delivery.consumer import Delivery
from mailbell.delivery.feed import Feed
from mailbell.delivery.monitor import Watermark
from mailbell.errors import JournalUnavailable, SinkUnavailable
from mailbell.event.convert import Converted, ConvertOptions
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.mail import Envelope, Mail, Source
from mailbell.settings import CooldownSettings, Duration, JournalSettings, MatchSettings, SinkSettings
from mailbell.sinks.base import Delivered, Outcome, Reject, Retry

SOON = Retry("not now", after=0.01)


class Recorder:
    """A sink that notes the subjects it is given, and answers from a list, then Delivered."""

    def __init__(self, *answers: Outcome | Exception, sequential: bool = False) -> None:
        self.name = "recorder"
        self.sequential = sequential
        self.answers = list(answers)
        self.starts: list[Exception | None] = []
        self.seen: list[str] = []
        self.counts: list[int] = []
        self.at_once = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._news = asyncio.Event()

    async def start(self) -> None:
        if self.starts and (error := self.starts.pop(0)):
            raise error

    async def deliver(self, item: Converted) -> Outcome:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.seen.append(item.event.subject or "")
        self.counts.append(item.event.suppressed_count)
        self._news.set()
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        answer = self.answers.pop(0) if self.answers else Delivered()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def stop(self) -> None:
        pass

    async def has(self, *subjects: str) -> None:
        """Wait until exactly these have been seen, in this order."""
        async with asyncio.timeout(10):
            while len(self.seen) < len(subjects):
                self._news.clear()
                await self._news.wait()
        assert self.seen == list(subjects)


def mail(subject: str, ioserver: str = "smtp") -> Mail:
    raw = f"Subject: {subject}\r\n\r\nx\r\n".encode()
    return Mail(subject, 0, ioserver, Source("127.0.0.1", 1), Envelope("", ("b@lan",)), raw)


Deliver = Callable[..., Awaitable[Delivery]]


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    with DataFolder(tmp_path) as folder:
        journal = await SqliteJournal.open(folder, JournalSettings())
        await journal.consumer("recorder")  # a consumer sees what comes after it was first asked for
        yield journal
        await journal.close()


@pytest.fixture
async def deliver(journal: SqliteJournal) -> AsyncIterator[Deliver]:
    """Call it with a sink to start a delivery to it."""
    async with AsyncExitStack() as stack:

        async def begin(
            sink: Recorder,
            settings: SinkSettings = SinkSettings(),  # noqa: B008  frozen
            alignment: Alignment | None = None,
            behind: Watermark | None = None,
        ) -> Delivery:
            consumer = await journal.consumer(sink.name)
            feed = Feed(journal, {"smtp": ConvertOptions()})
            alignment = alignment or Alignment([sink.name], [])
            delivery = Delivery(sink, consumer, settings, feed, alignment, SystemClock(), behind=behind)
            task = asyncio.create_task(delivery.run())

            async def end() -> None:
                task.cancel()
                await asyncio.wait([task])
                await delivery.drain(1)

            stack.push_async_callback(end)
            return delivery

        yield begin


async def settled(delivery: Delivery) -> None:
    """Wait until nothing is left to deliver."""
    async with asyncio.timeout(10):
        while delivery.consumer.lag:  # noqa: ASYNC110  a number, not an event
            await asyncio.sleep(0.001)


async def test_events_are_delivered_once_and_acknowledged(journal: SqliteJournal, deliver: Deliver) -> None:
    sink = Recorder()
    delivery = await deliver(sink)
    for subject in "abc":
        await journal.append(mail(subject))
    await sink.has("a", "b", "c")
    await settled(delivery)
    assert delivery.consumer.position == 3


async def test_a_stuck_event_does_not_hold_up_the_others(journal: SqliteJournal, deliver: Deliver) -> None:
    sink = Recorder(Retry("receiver is down", after=0.2))
    for subject in "abc":
        await journal.append(mail(subject))
    delivery = await deliver(sink, SinkSettings(max_in_flight=1))
    await sink.has("a", "b", "c", "a")
    await settled(delivery)


async def test_ordered_keeps_the_order_through_retries(journal: SqliteJournal, deliver: Deliver) -> None:
    sink = Recorder(SOON, SOON)
    for subject in "ab":
        await journal.append(mail(subject))
    await deliver(sink, SinkSettings(ordered=True))
    await sink.has("a", "a", "a", "b")


async def test_a_rejected_event_is_parked_and_can_be_replayed(
    journal: SqliteJournal, deliver: Deliver
) -> None:
    sink = Recorder(Reject("no such user"))
    delivery = await deliver(sink)
    await journal.append(mail("a"))
    await settled(delivery)
    [parked] = await delivery.consumer.parked()
    assert (parked.sequence, parked.attempts, parked.reason) == (1, 1, "no such user")
    await delivery.consumer.replay([1])
    await sink.has("a", "a")
    await settled(delivery)
    assert not await delivery.consumer.parked()


async def test_an_event_whose_time_is_over_is_parked(journal: SqliteJournal, deliver: Deliver) -> None:
    sink = Recorder(Retry("down", after=3600))
    delivery = await deliver(sink, SinkSettings(retry_for=Duration(60)))
    await journal.append(mail("a"))
    await settled(delivery)
    [parked] = await delivery.consumer.parked()
    assert parked.reason == "given up after 1 tries: down"


async def test_a_bug_in_a_sink_is_logged_and_the_event_tried_again(
    journal: SqliteJournal,
    deliver: Deliver,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mailbell.delivery.schedule.DELAYS", (0.01,))
    sink = Recorder(ZeroDivisionError("oh"))
    delivery = await deliver(sink)
    await journal.append(mail("a"))
    await sink.has("a", "a")
    await settled(delivery)
    assert "sink recorder failed on a" in caplog.text
    assert "ZeroDivisionError: oh" in caplog.text


async def test_no_more_than_max_in_flight(journal: SqliteJournal, deliver: Deliver) -> None:
    sink = Recorder()
    sink.gate.clear()
    for subject in "abcdef":
        await journal.append(mail(subject))
    delivery = await deliver(sink, SinkSettings(max_in_flight=4))
    await sink.has("a", "b", "c", "d")
    sink.gate.set()
    await settled(delivery)
    assert sink.most_at_once == 4


async def test_a_sequential_sink_has_one_at_a_time(journal: SqliteJournal, deliver: Deliver) -> None:
    sink = Recorder(sequential=True)
    for subject in "abcdef":
        await journal.append(mail(subject))
    delivery = await deliver(sink)
    await settled(delivery)
    assert sink.seen == list("abcdef")
    assert sink.most_at_once == 1


async def test_a_sink_that_is_down_at_first_comes_up_later(
    journal: SqliteJournal,
    deliver: Deliver,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer_module, "START_DELAYS", (0.001,))
    sink = Recorder()
    sink.starts = [SinkUnavailable("no broker at 127.0.0.1"), SinkUnavailable("no broker at 127.0.0.1"), None]
    await journal.append(mail("a"))
    await deliver(sink)
    await sink.has("a")
    assert caplog.text.count("sink recorder is not up: no broker") == 2


async def test_events_are_held_until_alignment_but_for_startupevents(
    journal: SqliteJournal, deliver: Deliver
) -> None:
    sink = Recorder()
    for subject, ioserver in (("1", "calm"), ("2", "early"), ("3", "calm")):
        await journal.append(mail(subject, ioserver))
    alignment = Alignment(["recorder", "slow"], ["early"])
    running = asyncio.create_task(alignment.run())
    await deliver(sink, alignment=alignment)
    await sink.has("2")
    alignment.up("slow")
    await sink.has("2", "1", "3")
    await running


async def test_sinks_wait_behind_the_monitor(journal: SqliteJournal, deliver: Deliver) -> None:
    sink, mark = Recorder(), Watermark(lambda: 0)
    await journal.append(mail("a"))
    await deliver(sink, behind=mark)
    feed = Feed(journal, {})
    item = await feed.item(1)
    assert not sink.seen
    mark.move(item, 1)
    await sink.has("a")


async def test_one_conversion_for_all_as_long_as_there_is_room(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "KEEP_OCTETS", 10)
    for subject in ("a", "b"):
        await journal.append(mail(subject))
    feed = Feed(journal, {})
    first, second = await feed.item(1), await feed.item(2)
    assert await feed.item(2) is second, "the newest is kept, however large it is"
    assert await feed.item(1) is not first


async def test_what_was_not_acknowledged_comes_again_after_a_restart(
    journal: SqliteJournal, deliver: Deliver
) -> None:
    sink = Recorder()
    sink.gate.clear()
    await journal.append(mail("a"))
    delivery = await deliver(sink)
    await sink.has("a")
    assert delivery.consumer.lag == 1
    await delivery.drain(0.01)  # its deadline passes with the delivery in flight
    assert delivery.consumer.lag == 1


async def test_what_does_not_match_is_acknowledged_without_the_sink(
    journal: SqliteJournal, deliver: Deliver
) -> None:
    sink = Recorder()
    for subject in ("motion 1", "hello", "motion 2"):
        await journal.append(mail(subject))
    delivery = await deliver(sink, SinkSettings(match=MatchSettings(subject=("motion*",))))
    await settled(delivery)
    assert sink.seen == ["motion 1", "motion 2"]


async def test_a_retry_and_a_replay_are_no_repeats_of_themselves(
    journal: SqliteJournal, deliver: Deliver
) -> None:
    sink = Recorder(SOON, sequential=True)
    settings = SinkSettings(
        dedupe=Duration(60), cooldown=CooldownSettings(key="{subject}", every=Duration(60))
    )
    delivery = await deliver(sink, settings)
    for _ in range(3):
        await journal.append(mail("a"))
    await sink.has("a", "a")
    await settled(delivery)
    assert sink.seen == ["a", "a"]
    await delivery.consumer.replay([1])
    await sink.has("a", "a", "a")


async def test_the_next_event_says_how_many_were_suppressed(journal: SqliteJournal, deliver: Deliver) -> None:
    sink = Recorder(sequential=True)
    settings = SinkSettings(cooldown=CooldownSettings(key="{ioserver}", every=Duration(0.2)))
    delivery = await deliver(sink, settings)
    for subject in "abc":
        await journal.append(mail(subject))
    await settled(delivery)
    await asyncio.sleep(0.25)  # the window, which is wall-clock time
    await journal.append(mail("d"))
    await sink.has("a", "d")
    assert sink.counts == [0, 2]


async def test_a_retry_says_the_same_count_again(journal: SqliteJournal, deliver: Deliver) -> None:
    sink = Recorder(Delivered(), SOON, sequential=True)
    settings = SinkSettings(cooldown=CooldownSettings(key="{ioserver}", every=Duration(0.2)))
    delivery = await deliver(sink, settings)
    for subject in "ab":
        await journal.append(mail(subject))
    await settled(delivery)
    await asyncio.sleep(0.25)  # the window, which is wall-clock time
    await journal.append(mail("c"))
    await sink.has("a", "c", "c")
    assert sink.counts == [0, 1, 1]


async def test_what_came_during_a_pause_is_as_new_as_it_was(journal: SqliteJournal, deliver: Deliver) -> None:
    sink = Recorder(sequential=True)
    delivery = await deliver(sink, SinkSettings(cooldown=CooldownSettings(key="{ioserver}")))
    await asyncio.sleep(0)  # it waits for mail
    delivery.pause("by hand")
    assert delivery.state == "paused"
    for subject in "ab":
        await journal.append(mail(subject))
    assert delivery.consumer.lag == 2
    delivery.resume()
    await settled(delivery)
    assert sink.seen == ["a"]
    assert (delivery.state, delivery.tally.delivered) == ("up", 1)


async def test_a_journal_that_can_not_be_read_for_a_moment_loses_nothing(
    journal: SqliteJournal,
    deliver: Deliver,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mailbell.delivery.schedule.DELAYS", (0.01,))
    read, failures = Feed.item, [JournalUnavailable("journal.db: disk I/O error")]

    async def item(feed: Feed, sequence: int) -> Converted:
        if failures:
            raise failures.pop()
        return await read(feed, sequence)

    monkeypatch.setattr(Feed, "item", item)
    sink = Recorder()
    delivery = await deliver(sink)
    await journal.append(mail("a"))
    await sink.has("a")
    await settled(delivery)
    assert "mail 1 is tried again in 0 s: journal.db: disk I/O error" in caplog.text
    assert (delivery.tally.retried, delivery.tally.delivered) == (1, 1)


# How it stands with each event


async def test_the_fate_of_each_event(journal: SqliteJournal, deliver: Deliver) -> None:
    sink = Recorder(Reject("never"), Retry("busy", after=3600), SOON)
    match = MatchSettings(subject=("yes*",))
    delivery = await deliver(sink, SinkSettings(match=match, max_in_flight=1, dedupe=Duration(60)))
    changes: asyncio.Queue[int] = asyncio.Queue()
    delivery._on_change = changes.put_nowait
    for subject in ("yes 1", "yes 2", "yes 3", "no", "yes 3", "yes 4"):
        await journal.append(mail(subject))
    async with asyncio.timeout(10):
        told = sorted([await changes.get() for _ in range(7)])
    assert told == [1, 2, 3, 3, 4, 5, 6]
    feed = Feed(journal, {})
    fates = [await delivery.fate(sequence, await feed.item(sequence)) for sequence in range(1, 7)]
    states = ["parked", "waiting", "settled", "skipped", "skipped", "settled"]
    assert [each.state for each in fates] == states
    assert [each.attempts for each in fates] == [1, 1, 2, 0, 0, 1]
    assert [each.reason for each in fates[:2]] == ["never", "busy"]
    assert fates[1].due is not None
    assert "match" in str(fates[3].reason)
    assert "dedupe" in str(fates[4].reason)
    assert all(each.at is not None for each in fates)
    assert sum(delivery.history) == delivery.tally.delivered == 2


async def test_what_match_leaves_out_is_known_after_a_restart(
    journal: SqliteJournal, deliver: Deliver
) -> None:
    await journal.append(mail("no"))
    consumer = await journal.consumer("recorder")
    consumer.ack((await consumer.fetch(1))[0])
    delivery = await deliver(Recorder(), SinkSettings(match=MatchSettings(subject=("yes",))))
    fate = await delivery.fate(1, await Feed(journal, {}).item(1))
    assert (fate.state, fate.at) == ("skipped", None)
