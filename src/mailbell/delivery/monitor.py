"""The IO MONITOR: the `mail` data points, each set and logged for an event before any sink sees it."""

import asyncio
import logging
from collections.abc import Callable

from mailbell.clock import Clock
from mailbell.event.convert import Converted
from mailbell.mail import IMPORTED
from mailbell.minutes import Minutes
from mailbell.scripting.state import IoState
from mailbell.settings import MONITOR, MatchSettings, SinkSettings
from mailbell.sinks.base import Delivered, Outcome

logger = logging.getLogger("mailbell.io")


EVERYTHING = SinkSettings(match=MatchSettings(ioserver=("*",)))
"""The monitor's settings: sinks wait behind it for every event, also for one that it says nothing of."""


class Monitor:
    """A sink like any other, the first in line: it sets the data point and writes the IO MONITOR line."""

    name = MONITOR
    sequential = True

    def __init__(self, state: IoState, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self.mails, self.octets = Minutes(), Minutes()
        """What has come, by the minute."""

    async def start(self) -> None:
        """Nothing to bring up."""

    async def deliver(self, item: Converted) -> Outcome:
        """The data point is *forced*: it fires for every mail, also when the value equals the last one."""
        if item.mail.ioserver == IMPORTED:  # nothing has happened now
            return Delivered()
        now = self._clock.monotonic()
        self.mails.add(now)
        self.octets.add(now, len(item.mail.raw))
        self._state.set_io(item.name, item.value, self._clock.time())
        logger.info("IO MONITOR FORCED: %s = %s", item.name, item.value)
        return Delivered()

    async def stop(self) -> None:
        """Nothing to let go of."""


class Watermark:
    """How far the monitor has come, for each I/O server: sinks wait behind it, and who follows the events."""

    def __init__(self, position: Callable[[], int]) -> None:
        """`position`: that of the monitor's consumer."""
        self._position = position
        self._start = position()
        self._reached: dict[str, int] = {}
        self._moved = asyncio.Event()

    def move(self, item: Converted, sequence: int) -> None:
        """The monitor is done with this event; events of one I/O server come in order."""
        self._reached[item.mail.ioserver] = sequence
        self._moved.set()
        self._moved = asyncio.Event()

    async def reached(self, ioserver: str, sequence: int) -> None:
        """Return once the monitor is done with this event."""
        while self._reached.get(ioserver, self._start) < sequence:
            await self._moved.wait()

    @property
    def head(self) -> int:
        """The monitor is done with every event up to this one."""
        return self._position()

    async def beyond(self, sequence: int) -> int:
        """Return the head once it is beyond this."""
        while self.head <= sequence:
            await self._moved.wait()
        return self.head
