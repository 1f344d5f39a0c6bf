"""The consumer loop: claims from the journal, hands them to one sink, and settles each by its outcome."""

import asyncio
import itertools
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from mailbell.clock import Clock
from mailbell.delivery.alignment import Alignment
from mailbell.delivery.deference import Deference
from mailbell.delivery.feed import Feed
from mailbell.delivery.monitor import Watermark
from mailbell.delivery.schedule import Again, Hold, Park, Settle, decide
from mailbell.delivery.selection import NO_MATCH, Selection, Skip
from mailbell.delivery.tally import Tally
from mailbell.errors import JournalUnavailable, MailGone, SinkUnavailable
from mailbell.event.convert import Converted
from mailbell.journal.base import Claim, Consumer, Fate
from mailbell.newest import Newest
from mailbell.settings import SinkSettings
from mailbell.sinks.base import Delivered, Outcome, Retry, Sink

START_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between the tries to bring a sink up; the last one repeats."""

TURN = 32
"""Events claimed at once for a sink that takes them in turn."""

REMEMBERED = 4096
"""Events of which it is known how they were settled."""

LATE = 3600.0
"""Seconds: the delivery of a mail that is older makes up for something, and says nothing of our speed."""

logger = logging.getLogger("mailbell.delivery")


class Delivery:
    """One sink and its durable consumer. Another sink's trouble is never this one's."""

    def __init__(
        self,
        sink: Sink,
        consumer: Consumer,
        settings: SinkSettings,
        feed: Feed,
        alignment: Alignment,
        clock: Clock,
        behind: Watermark | None = None,
        on_delivered: Callable[[Converted, int], None] | None = None,
        in_turn: bool = False,
        deference: Deference | None = None,
        on_change: Callable[[int], None] | None = None,
    ) -> None:
        """`behind`: deliver only what this has passed.

        `in_turn`: without a task for each event; for a sink that never waits (the monitor), most of whose
        cost would be tasks. `on_change` is told the sequence of each event whose fate has changed.
        `deference`: to the receiving process, where that is another one.
        """
        self.sink = sink
        self.consumer = consumer
        self.settings = settings
        self._feed = feed
        self._alignment = alignment
        self._clock = clock
        self._behind = behind
        self._on_delivered = on_delivered
        self._on_change = on_change
        self._recent: Newest[int, Fate] = Newest(REMEMBERED)
        """How the last ones were settled: what the consumer does not keep."""
        self._selection = Selection(settings)
        self._newest = consumer.position
        self._in_turn = in_turn
        self._deference = deference or _turn
        self._limit = (
            TURN if in_turn else 1 if sink.sequential or settings.ordered else settings.max_in_flight
        )
        self._in_flight: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._held: deque[Claim] = deque()
        self.tally = Tally()
        self._up = False
        self.standby = False
        """Another node delivers."""
        self.paused: str | None = None
        """Why nothing is delivered; None: it is."""
        self._resumed = asyncio.Event()
        self._resumed.set()

    def __repr__(self) -> str:
        return f"<Delivery {self.sink.name} at {self.consumer.position}, {len(self._in_flight)} in flight>"

    @property
    def state(self) -> Literal["up", "down", "paused", "standby"]:
        """`down`: it has not come up, or the last try came to nothing. `standby`: another node delivers."""
        if self.paused is not None:
            return "paused"
        if self.standby:
            return "standby"
        return "up" if self._up and not self.tally.failing else "down"

    @property
    def rate(self) -> float:
        """Events delivered a second, over about a minute."""
        return self.tally.rate(self._clock.monotonic())

    @property
    def history(self) -> list[int]:
        """Events delivered in each minute of the last hour, oldest first."""
        return self.tally.history.last_hour(self._clock.monotonic())

    async def fate(self, sequence: int, item: Converted) -> Fate:
        """How it stands with an event, which `item` is."""
        fate = await self.consumer.fate(sequence)
        if fate.state != "settled":
            return fate
        if known := self._recent.get(sequence):
            return known
        return fate if self._selection.matches(item) else _skipped(NO_MATCH, None)

    async def run(self) -> None:
        """Bring the sink up, then deliver for ever. To stop: cancel, then `drain`."""
        await self._bring_up()
        self._alignment.up(self.sink.name)
        await self._until_alignment()
        while True:
            while self._held:
                await self._wait_for_room()
                await self._begin(self._held.popleft())
                await self._deference()
            self._held.extend(await self._claim())

    def pause(self, reason: str) -> None:
        """Deliver nothing until `resume`, or the next start. Events wait in the journal."""
        self.paused = reason
        self._resumed.clear()
        logger.error(
            "sink %s is paused until it is resumed or the server restarts: %s", self.sink.name, reason
        )

    def resume(self) -> None:
        """Go on after a pause."""
        self.paused = None
        self._resumed.set()

    async def drain(self, deadline: float) -> None:
        """Let what is in flight finish for `deadline` seconds; the rest goes back, for the next start."""
        while self._held:
            self.consumer.release(self._held.pop())
        if self._in_flight and deadline > 0:
            await asyncio.wait(self._in_flight, timeout=deadline)
        await self.interrupt()
        await self.sink.stop()

    async def interrupt(self) -> None:
        """End what is in flight; what becomes of it is not known."""
        late = list(self._in_flight)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _bring_up(self) -> None:
        for attempt in itertools.count():
            try:
                await self.sink.start()
            except SinkUnavailable as error:
                logger.error("sink %s is not up: %s", self.sink.name, error)
                self.tally.last_error, self.tally.last_error_at = str(error), self._clock.time()
                await asyncio.sleep(START_DELAYS[min(attempt, len(START_DELAYS) - 1)])
            else:
                self._up = True
                return

    async def _until_alignment(self) -> None:
        """Until then, events of I/O servers without `startupevents` are held, in order; the others flow."""
        early = asyncio.create_task(self._deliver_early())
        try:
            await self._alignment.wait()
        finally:
            early.cancel()
            await asyncio.wait([early])

    async def _deliver_early(self) -> None:
        if not self._alignment.any_early:
            return
        while True:
            self._held.extend(await self._claim())
            for claim in list(self._held):
                item = await self._feed.item(claim.sequence)
                if self._alignment.open_for(item.mail.ioserver):
                    self._held.remove(claim)
                    await self._begin(claim)

    async def _claim(self) -> Sequence[Claim]:
        await self._wait_for_room()
        await self._resumed.wait()
        return await self.consumer.fetch(self._limit - len(self._in_flight), ordered=self.settings.ordered)

    async def _wait_for_room(self) -> None:
        while len(self._in_flight) >= self._limit:
            self._room.clear()
            await self._room.wait()

    async def _begin(self, claim: Claim) -> None:
        """Prepare the event, in order of arrival; then the sink has it, beside the others in flight.

        Whatever happens on the way, the claim is answered: it would be stuck until the next start.
        """
        if self.paused is not None:  # since the fetch began to wait
            self.consumer.release(claim)
            return
        began, fresh = self._clock.monotonic() - self._age(claim), self._is_fresh(claim)
        try:
            item = await self._select(claim, fresh)
        except asyncio.CancelledError:
            self.consumer.release(claim)
            raise
        except JournalUnavailable as error:
            self._settle(claim, None, Retry(str(error)), began)
            return
        except Exception as error:  # a bug, which must not lose an event
            logger.exception("sink %s: mail %d could not be prepared", self.sink.name, claim.sequence)
            self._settle(claim, None, Retry(f"{type(error).__name__}: {error}"), began)
            self._tell(claim)
            return
        if not isinstance(item, Converted):
            self._leave_out(claim, item)
        elif self._in_turn:
            await self._deliver(claim, item, began, fresh)
        else:
            task = asyncio.get_running_loop().create_task(self._deliver(claim, item, began, fresh))
            self._in_flight.add(task)
            task.add_done_callback(self._finish)

    def _leave_out(self, claim: Claim, skip: Skip | None) -> None:
        """The sink does not get it; None: nobody does, it is gone."""
        self.consumer.ack(claim)
        if skip is not None:
            self._recent[claim.sequence] = _skipped(skip, self._clock.time())
        self._tell(claim)

    def _is_fresh(self, claim: Claim) -> bool:
        """Is this the first time that the event comes, no retry and no replay?"""
        fresh = claim.attempt == 1 and claim.sequence > self._newest
        self._newest = max(self._newest, claim.sequence)
        return fresh

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._room.set()

    async def _deliver(self, claim: Claim, item: Converted, began: float, fresh: bool) -> None:
        try:
            if not self.consumer.holds(
                claim
            ):  # another node may have it by now: it is for that one to deliver
                self.consumer.release(claim)
                return
            outcome = await self._try(item)
        except asyncio.CancelledError:
            self.consumer.release(claim)
            raise
        self._settle(claim, item, outcome, began)
        self._clocked(claim, item, outcome, fresh)
        self._tell(claim)

    def _tell(self, claim: Claim) -> None:
        if self._on_change is not None:
            self._on_change(claim.sequence)

    def _clocked(self, claim: Claim, item: Converted, outcome: Outcome, fresh: bool) -> None:
        """Count how long it took, unless that is the time until somebody replayed it."""
        took = self._clock.time() - item.mail.received_at / 1000
        if isinstance(outcome, Delivered) and (fresh or claim.attempt > 1) and took < LATE:
            self.tally.latency.add(self._clock.monotonic(), took)

    def _age(self, claim: Claim) -> float:
        """Seconds since the first try; from here on by a clock that nobody sets."""
        return 0.0 if claim.first_attempt_at is None else self._clock.time() - claim.first_attempt_at

    async def _select(self, claim: Claim, fresh: bool) -> Converted | Skip | None:
        """What the sink is to get, or why it is not; None: it is gone."""
        try:
            item = await self._feed.item(claim.sequence)
        except MailGone:
            logger.error(
                "sink %s: mail %d was removed before it was delivered", self.sink.name, claim.sequence
            )
            return None
        if self._behind is not None:
            await self._behind.reached(item.mail.ioserver, claim.sequence)
        suppressed = self._selection.admit(item, claim.sequence, self._clock.time(), fresh=fresh)
        if isinstance(suppressed, Skip):
            return suppressed
        return item.with_suppressed(suppressed) if suppressed else item

    async def _try(self, item: Converted) -> Outcome:
        try:
            return await self.sink.deliver(item)
        except (
            Exception
        ) as error:  # a sink's bug is that sink's trouble: logged whole, and the event is tried again
            logger.exception("sink %s failed on %s", self.sink.name, item.mail.id)
            return Retry(f"{type(error).__name__}: {error}")

    def _settle(self, claim: Claim, item: Converted | None, outcome: Outcome, began: float) -> None:
        """Do what the schedule says. `item` is None where it could not be had."""
        now = self._clock.time()
        mail = f"mail {claim.sequence}" if item is None else item.mail.id
        elapsed = self._clock.monotonic() - began if claim.attempt > 1 else 0.0
        match decide(outcome, claim.attempt, elapsed, self.settings.retry_for, random.random()):  # noqa: S311  jitter
            case Settle():
                self.consumer.ack(claim)
                self._selection.settled(claim.sequence)
                self._recent[claim.sequence] = Fate(state="settled", attempts=claim.attempt, at=now)
                self.tally.deliver(self._clock.monotonic())
                if self._on_delivered is not None and item is not None:
                    self._on_delivered(item, claim.sequence)
            case Again(delay, reason):
                logger.warning(
                    "sink %s: %s is tried again in %.0f s: %s", self.sink.name, mail, delay, reason
                )
                self.consumer.retry(claim, now + delay, reason)
                self.tally.fail(reason, now, parked=False)
            case Park(reason):
                logger.error("sink %s: %s is parked: %s", self.sink.name, mail, reason)
                self.consumer.park(claim, reason)
                self._selection.settled(claim.sequence)
                self.tally.fail(reason, now, parked=True)
            case Hold(reason):
                self.consumer.release(claim)
                if self.paused is None:  # others in flight hear the same
                    self.pause(reason)


async def _turn() -> None:
    """Others have their turn on the loop, too."""
    await asyncio.sleep(0)


def _skipped(skip: Skip, at: float | None) -> Fate:
    return Fate(state="skipped", reason=skip.reason, at=at)
