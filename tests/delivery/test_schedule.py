"""The schedule as a whole, with a clock turned by hand: days of retries in milliseconds.

Delivery, delays, selection and the journal's consumer together, against a model that knows what may come.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mailbell.delivery.alignment import Alignment
from mailbell.delivery.consumer import Delivery
from mailbell.delivery.feed import Feed
from mailbell.delivery.schedule import DELAYS, JITTER, Again, Hold, Park, Settle, decide, next_delay
from mailbell.event.convert import Converted
from mailbell.mail import Envelope, Mail, Source
from mailbell.settings import CooldownSettings, Duration, SinkSettings
from mailbell.sinks.base import Delivered, Outcome, Pause, Reject, Retry
from tests.journal.engines import SqliteEngine

FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
DAY = 86_400.0
WINDOW = 60.0
SLACK = 0.01
"""Seconds by which sums of times may be off: a wall clock has a grain of a microsecond."""

SETTINGS = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # each step is real I/O: shrinking takes minutes
)

T = TypeVar("T")


def test_each_outcome_has_its_step() -> None:
    assert decide(Delivered(), 1, 0.0, DAY, 0) == Settle()
    assert decide(Reject("no"), 1, 0.0, DAY, 0) == Park("no")
    assert decide(Pause("gone"), 1, 0.0, DAY, 0) == Hold("gone")
    assert decide(Retry("busy"), 1, 0.0, DAY, 0) == Again(1.0, "busy")
    assert decide(Retry("busy", 9.0), 1, 0.0, DAY, 0) == Again(9.0, "busy")
    assert decide(Retry("busy"), 7, DAY, DAY, 0) == Park("given up after 7 tries: busy")


def test_the_delays_grow_as_promised_then_stay_hourly() -> None:
    delays = [next_delay(attempt, 0.0, DAY, 0.0) for attempt in range(1, 9)]
    assert delays == [1, 5, 30, 120, 600, 3600, 3600, 3600]


def test_the_receivers_own_delay_goes_before_ours() -> None:
    assert next_delay(1, 0.0, DAY, 0.0, after=42.0) == 42.0


def test_an_event_is_given_up_when_its_time_is_over() -> None:
    assert next_delay(7, 3 * DAY - 3600, 3 * DAY, 0.0) == 3600
    assert next_delay(7, 3 * DAY - 3599, 3 * DAY, 0.0) is None


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_only_adds_and_little(attempt: int, fraction: float) -> None:
    delay = DELAYS[min(attempt, len(DELAYS)) - 1]
    jittered = next_delay(attempt, 0.0, DAY, fraction)
    assert jittered is not None
    assert delay <= jittered <= delay * (1 + JITTER)


OUTCOMES = (Delivered(), Retry("down"), Retry("down"), Retry("busy", 7.0), Reject("no"), Pause("gone"))


class Gate:
    """A sink that holds each event until it is told what to answer."""

    name = "gate"
    sequential = False

    def __init__(self, machine: "ScheduleMachine") -> None:
        self._machine = machine
        self.open: dict[int, asyncio.Future[Outcome]] = {}

    async def start(self) -> None:
        pass

    async def deliver(self, item: Converted) -> Outcome:
        number = int(item.mail.id)
        assert number not in self.open, "two at once for one event"
        self._machine.comes(number, item.event.suppressed_count)
        self.open[number] = asyncio.get_running_loop().create_future()
        try:
            return await self.open[number]
        finally:
            del self.open[number]

    async def stop(self) -> None:
        pass


class Event(msgspec.Struct):
    """What is known of an event: from `earliest` on it may come, from `latest` on it must."""

    kind: int
    state: str = "due"
    tries: int = 0
    first_at: float = 0
    retried_at: float = 0
    earliest: float = 0
    latest: float = 0
    count: int | None = None
    replayed: bool = False


class ScheduleMachine(RuleBasedStateMachine):
    settings = SinkSettings(max_in_flight=4)
    suppresses = False

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="mailbell-schedule-", dir=FAST))
        self.engine = SqliteEngine(self.folder / "data")
        self.events: dict[int, Event] = {}
        self.run(self.begin())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(asyncio.wait_for(work, 20))

    @property
    def now(self) -> float:
        return self.engine.clock.monotonic()

    async def begin(self) -> None:
        self.journal = await self.engine.open()
        self.consumer = await self.journal.consumer("gate")
        self.sink = Gate(self)
        feed, alignment = Feed(self.journal, {}), Alignment(["gate"], [])
        self.delivery = Delivery(self.sink, self.consumer, self.settings, feed, alignment, self.engine.clock)
        self.running = asyncio.create_task(self.delivery.run())
        await self.calm()

    async def end(self) -> None:
        self.running.cancel()
        await asyncio.wait([self.running])
        await self.delivery.drain(0)
        await self.journal.close()

    async def calm(self) -> None:
        """Let everything go on until all of it waits: for the clock, for an answer, for mail."""
        still, before = 0, self.progress()
        while still < 20:
            await asyncio.sleep(0)
            now = self.progress()
            reading = len(self.consumer._claimed) != len(self.sink.open)  # the mail, in a thread
            still = 0 if reading or now != before else still + 1
            before = now

    def progress(self) -> object:
        return sorted(self.sink.open), len(self.delivery._in_flight), self.consumer.lag

    def comes(self, number: int, count: int) -> None:
        """The sink is handed an event."""
        event = self.events[number]
        assert event.state == "due", f"{number} comes though it is {event.state}"
        assert self.now >= event.earliest - SLACK, f"{number} comes {event.earliest - self.now} s early"
        assert event.replayed or event.count in (None, count), "a retry says the same count again"
        event.count = max(event.count or 0, count)
        event.state = "open"

    @rule(kinds=st.lists(st.integers(0, 1), min_size=1, max_size=6))
    def mails(self, kinds: list[int]) -> None:
        self.run(self.append(kinds))

    async def append(self, kinds: list[int]) -> None:
        for kind in kinds:
            number = len(self.events) + 1
            self.events[number] = Event(kind)
            raw = f"Subject: {kind}\r\n\r\nx\r\n".encode()
            source, envelope = Source("127.0.0.1", 1), Envelope("", ("b@lan",))
            assert await self.journal.append(Mail(str(number), 0, "smtp", source, envelope, raw)) == number
        await self.calm()

    @precondition(lambda self: self.sink.open)
    @rule(which=st.integers(0, 3), outcome=st.sampled_from(OUTCOMES))
    def answer(self, which: int, outcome: Outcome) -> None:
        self.run(self.answered(sorted(self.sink.open)[which % len(self.sink.open)], outcome))

    @precondition(lambda self: self.sink.open)
    @rule(outcome=st.sampled_from(OUTCOMES[:3]))
    def answer_all(self, outcome: Outcome) -> None:
        for number in sorted(self.sink.open):
            self.run(self.answered(number, outcome))

    async def answered(self, number: int, outcome: Outcome) -> None:
        event = self.events[number]
        self.note(event, outcome)
        self.sink.open[number].set_result(outcome)
        await self.calm()
        if event.state == "either":  # the jitter has decided
            event.state = "parked" if number in await self.parked() else "due"

    def note(self, event: Event, outcome: Outcome) -> None:
        """What the answer means for the event."""
        match outcome:
            case Delivered():
                event.state = "delivered"
            case Reject():
                event.state = "parked"
            case Pause():
                event.state, event.earliest, event.latest = "due", 0, 0
            case Retry(_, after):
                delay = DELAYS[min(event.tries, len(DELAYS) - 1)] if after is None else after
                event.first_at = event.first_at if event.tries else self.now
                event.tries += 1
                event.retried_at = self.now
                event.earliest, event.latest = self.now + delay, self.now + delay * (1 + JITTER)
                until = event.first_at + self.settings.retry_for
                in_time, too_late = event.latest <= until - SLACK, event.earliest > until + SLACK
                event.state = "due" if in_time else "parked" if too_late else "either"

    async def parked(self) -> set[int]:
        return {each.sequence for each in await self.consumer.parked()}

    @rule(seconds=st.sampled_from([0.5, 1.2, 6.0, 40.0, 700.0, 4000.0, DAY]))
    def time_passes(self, seconds: float) -> None:
        self.run(self.pass_time(seconds))

    @precondition(lambda self: self.being("due"))
    @rule(short=st.booleans())
    def time_passes_until_one_is_due(self, short: bool) -> None:
        due = [event for event in self.events.values() if event.state == "due" and event.latest > self.now]
        if due:
            until = (
                min(event.earliest for event in due) - 0.1
                if short
                else min(event.latest for event in due) + 0.1
            )
            self.run(self.pass_time(max(0.0, until - self.now)))

    async def pass_time(self, seconds: float) -> None:
        self.engine.clock.turn(seconds)
        self.consumer.wake()
        await self.calm()

    @precondition(lambda self: self.delivery.paused is None)
    @rule()
    def pause(self) -> None:
        self.delivery.pause("by hand")

    @precondition(lambda self: self.delivery.paused is not None)
    @rule()
    def resume(self) -> None:
        self.run(self.go_on())

    async def go_on(self) -> None:
        self.delivery.resume()
        await self.calm()

    @rule(most=st.integers(1, 3))
    def replay(self, most: int) -> None:
        async def again() -> None:
            chosen = sorted(await self.parked())[:most]
            for event in map(self.events.__getitem__, chosen):
                event.state, event.tries, event.earliest, event.latest, event.replayed = "due", 0, 0, 0, True
            await self.consumer.replay(chosen)
            await self.calm()

        self.run(again())

    @precondition(lambda self: not self.suppresses)
    @invariant()
    def what_must_come_is_there(self) -> None:
        if self.delivery.paused is None and len(self.sink.open) < self.settings.max_in_flight:
            due = {number: event for number, event in self.events.items() if event.state == "due"}
            assert not [number for number, event in due.items() if event.latest < self.now - SLACK]

    @precondition(lambda self: not self.suppresses)
    @invariant()
    def the_books_balance(self) -> None:
        assert set(self.sink.open) == self.being("open")
        assert self.consumer.lag == len(self.being("due")) + len(self.being("open"))
        assert self.run(self.parked()) == self.being("parked")

    def being(self, state: str) -> set[int]:
        return {number for number, event in self.events.items() if event.state == state}

    def teardown(self) -> None:
        try:
            self.run(self.finish())
        finally:
            self.runner.close()
            shutil.rmtree(self.folder)

    async def finish(self) -> None:
        """The receiver is well again: everything comes."""
        await self.go_on()
        while self.consumer.lag:
            for number in list(self.sink.open):
                await self.answered(number, Delivered())
            await self.pass_time(4000.0)
        assert len(self.being("delivered")) + len(self.being("parked")) == len(self.events)
        await self.end()


class JumpingMachine(ScheduleMachine):
    """The wall clock is set, also by decades, as on a box without a battery."""

    @rule(seconds=st.sampled_from([-30 * DAY, -100.0, 100.0, 20_000 * DAY]))
    def clock_is_set(self, seconds: float) -> None:
        self.engine.set_clock_back(seconds)


class RestartingMachine(ScheduleMachine):
    """What was unanswered comes again, what waits keeps its time, a pause is over."""

    @rule()
    def restart(self) -> None:
        async def anew() -> None:
            await self.end()
            for event in map(self.events.__getitem__, self.being("due")):  # its wait counts no more
                event.first_at += self.now - event.retried_at
                event.retried_at = self.now
            for number in self.being("open"):
                event = self.events[number]
                event.state, event.earliest, event.latest = "due", 0, 0
            await self.begin()

        self.run(anew())


class CoolingMachine(ScheduleMachine):
    """Each event comes itself, or is counted by a later one of its kind."""

    settings = SinkSettings(
        max_in_flight=4, cooldown=CooldownSettings(key="{subject}", every=Duration(WINDOW))
    )

    suppresses = True

    async def finish(self) -> None:
        await self.go_on()
        await self.deliver_all()
        await self.append([0, 1])  # the windows are over: these come, and tell
        await self.deliver_all()
        for kind in (0, 1):
            events = [event for event in self.events.values() if event.kind == kind]
            came = [event.count for event in events if event.count is not None]
            assert len(came) + sum(came) == len(events)
        await self.end()

    async def deliver_all(self) -> None:
        await self.pass_time(2 * WINDOW)
        while self.consumer.lag:
            for number in list(self.sink.open):
                await self.answered(number, Delivered())
            await self.pass_time(4000.0)


@pytest.mark.parametrize("machine", [JumpingMachine, RestartingMachine, CoolingMachine])
def test_the_schedule(machine: type[ScheduleMachine]) -> None:
    run_state_machine_as_test(machine, settings=SETTINGS)
