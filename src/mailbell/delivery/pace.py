"""Pace: while mail is coming in, what can wait takes a share of the loop, no more.

The inbox shares its event loop with the deliveries. An event is wanted soon, its line in the inbox may be
late. So when both want all of the loop, the inbox rests between its turns. What is left over is done as soon
as less comes in: at full speed, for then nobody is in the way.
"""

import asyncio
from collections.abc import Callable

from mailbell.clock import Clock

CREDIT = 0.02
"""Seconds of work that may be ahead of the share: a burst that is no load is not slowed down."""


class Pace:
    """Counts the time that such work takes, and says how long to rest."""

    def __init__(self, clock: Clock, arrived: Callable[[], int], share: float) -> None:
        """`arrived` counts the mails taken in so far; `share` is the part of the time."""
        self._clock = clock
        self._arrived = arrived
        self._seen = arrived()
        self._at = clock.monotonic()
        self._ahead = 0.0
        self._share = share

    def pause(self, spent: float) -> float:
        """Seconds to rest, after work that has taken `spent` seconds of the loop."""
        now = self._clock.monotonic()
        self._ahead = max(0.0, self._ahead + spent / self._share - (now - self._at))
        self._at = now
        if self._ahead <= CREDIT:
            return 0.0
        if self._arrived() == self._seen:  # nobody is in the way
            self._ahead = 0.0
            return 0.0
        self._seen = self._arrived()
        return self._ahead

    async def keep(self, began: float) -> None:
        """Rest, if work that began at this moment has used the share up."""
        pause = self.pause(self._clock.monotonic() - began)
        if pause:
            await asyncio.sleep(pause)
