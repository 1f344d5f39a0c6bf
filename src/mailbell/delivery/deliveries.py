"""The sinks that are served, each with its delivery. They come, change and go while mail flows."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Literal

from mailbell.clock import Clock
from mailbell.delivery.activity import Activity
from mailbell.delivery.alignment import Alignment
from mailbell.delivery.consumer import Delivery
from mailbell.delivery.deference import Deference
from mailbell.delivery.feed import Feed
from mailbell.delivery.keep import keep_running
from mailbell.delivery.latency import percentiles
from mailbell.delivery.monitor import Watermark
from mailbell.journal.base import Journal
from mailbell.scripting.state import IoState
from mailbell.settings import SinkSettings
from mailbell.sinks import registry
from mailbell.sinks.base import Forgets, Sink
from mailbell.sinks.script import ScriptSink

DRAIN = 10.0
"""Seconds that what is in flight has to finish when a sink ends."""


class Deliveries(Mapping[str, Delivery]):
    """Sink by name → its Delivery. What a sink has not had yet waits in the journal while it is exchanged.

    On a node that is not the active one only scripts are up, for they hear of it; the others stand by: two
    nodes at one broker under one name would throw each other out.
    """

    def __init__(
        self,
        journal: Journal,
        feed: Feed,
        alignment: Alignment,
        clock: Clock,
        state: IoState,
        behind: Watermark,
        activity: Activity,
        deference: Deference | None = None,
    ) -> None:
        """Nothing is served yet; `behind` is the monitor, which sees every event first."""
        self._journal = journal
        self._feed = feed
        self._alignment = alignment
        self._clock = clock
        self._state = state
        self._behind = behind
        self._deference = deference
        self._changing = asyncio.Lock()
        state.active = activity.active
        state.until = lambda: activity.lease.until
        activity.hears.append(self.ha_active)
        self._served: dict[str, tuple[Delivery, AsyncExitStack]] = {}
        self._listening: list[str] = []
        self._listeners: set[Callable[[int], None]] = set()

    def __getitem__(self, name: str) -> Delivery:
        """The delivery of the sink of this name."""
        return self._served[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._served)

    def __len__(self) -> int:
        return len(self._served)

    async def serve(self, name: str, settings: SinkSettings) -> None:
        """Serve a sink by these settings; one that has them already goes on untouched.

        Where there was one of this name, it finishes first what it has in flight, and this one goes on from
        there. One whose name is new to the journal gets what comes from now on.
        """
        async with self._changing:
            await self._serve(name, settings)

    async def _serve(self, name: str, settings: SinkSettings) -> None:
        served = self._served.get(name)
        if served is not None and served[0].settings == settings:
            return
        sink = registry.make(name, settings, self._state)  # if that fails, the old one stays
        if served is not None:
            await served[1].aclose()
        await self._begin(sink, settings)

    async def remove(self, name: str) -> None:
        """Let the sink finish what it has in flight. Its place in the journal stays, and holds nothing."""
        delivery, stack = self._served.pop(name)
        if isinstance(delivery.sink, Forgets):
            delivery.sink.forget()
        await stack.aclose()
        self._alignment.up(name)  # nobody waits for it any more
        await self._journal.dismiss(name)

    def mark(self, sequence: int) -> Literal["done", "pending", "trouble"]:
        """How it stands with an event in all sinks; `trouble`: it waits for a retry, or is parked, in one."""
        states = {delivery.consumer.state(sequence) for delivery in self.values()}
        if states & {"waiting", "parked"}:
            return "trouble"
        return "pending" if "pending" in states else "done"

    def subscribe(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Call `listener` with each event whose fate has changed, until what is returned is called."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def changed(self, sequence: int) -> None:
        """Tell those who listen."""
        for listener in self._listeners:
            listener(sequence)

    def latency(self) -> tuple[float, float] | None:
        """From the final dot until delivered: p50 and p99 of the last hour in milliseconds, if there are."""
        now = self._clock.monotonic()
        found = percentiles((each.tally.latency.buckets(now) for each in self.values()), 0.5, 0.99)
        return (found[0], found[1]) if found else None

    async def listening(self, ioserver: str) -> None:
        """An I/O server listens: scripts are told, those too that come later."""
        self._listening.append(ioserver)
        for delivery in self.values():
            if isinstance(delivery.sink, ScriptSink):
                await delivery.sink.io_start(ioserver)

    async def ha_active(self, active: bool) -> None:
        """This node has become the active one, or no longer is."""
        self._state.active = active
        async with self._changing:
            await asyncio.gather(*(self._change(name, active) for name in list(self._served)))

    async def _change(self, name: str, active: bool) -> None:
        delivery, stack = self._served[name]
        if isinstance(delivery.sink, ScriptSink):
            if not active:
                await delivery.interrupt()
            await delivery.sink.ha_active(active)
        elif active and delivery.standby:
            self._run(delivery, stack)
        elif not active and not delivery.standby:
            await delivery.interrupt()  # at once: its events may be another node's by now
            await stack.aclose()
            await self._begin(registry.make(name, delivery.settings, self._state), delivery.settings)

    async def close(self) -> None:
        """End all sinks, together. Their places in the journal are closed with it."""
        await asyncio.gather(*(stack.aclose() for _, stack in self._served.values()))

    async def _begin(self, sink: Sink, settings: SinkSettings) -> None:
        consumer = await self._journal.consumer(sink.name)
        delivery = Delivery(
            sink,
            consumer,
            settings,
            self._feed,
            self._alignment,
            self._clock,
            behind=self._behind,
            on_change=self.changed,
            deference=self._deference,
        )
        if isinstance(sink, ScriptSink):
            for ioserver in self._listening:
                await sink.io_start(ioserver)
        stack = AsyncExitStack()
        if self._state.active or isinstance(sink, ScriptSink):
            self._run(delivery, stack)
        else:
            delivery.standby = True
        self._served[sink.name] = delivery, stack

    def _run(self, delivery: Delivery, stack: AsyncExitStack) -> None:
        delivery.standby = False
        stack.push_async_callback(delivery.drain, DRAIN)
        keep_running(stack, f"sink {delivery.sink.name}", delivery.run)
