"""Deference: while the receiving process needs the processor, the delivering one leaves it some.

As long as receiving takes less than half a core, which hundreds of devices do not make it do, nobody waits.
In a flood the 250 goes first: what is journalled is delivered with a part of the time, and once the flood is
over at full speed. Niceness alone does not do it: while delivering keeps one core busy, the system puts the
receiving process and its clients on the other one, since they talk to each other.

Only what receiving has of the processor counts, not what it waits for: it waits too when other programs take
the machine, and then nobody gains by our rest. In a flood that is not deferred to it has 0.55 to 0.6 of a
core; 1,900 mails a second on kept connections take 0.25.
"""

import asyncio
import os
import time
from collections.abc import Callable

from mailbell.clock import Clock

BUSY = 0.45
"""The part of a core that receiving has when it needs what there is."""

SHARE = 0.1
"""The part of a core that delivering takes meanwhile."""

WINDOW = 0.02
"""Seconds over which both are measured, at least, and for which one rests: a burst that is over sooner is no
flood, and the end of one is seen.
"""

STALE = 4 * WINDOW
"""Seconds after which a measurement says nothing of now: nothing was delivered meanwhile."""

TURN = 0.001
"""Seconds for which one who delivers may have the loop for himself."""

Seconds = Callable[[], float]


class Deference:
    """One for all who deliver: they rest together."""

    def __init__(self, clock: Clock, receiving: Seconds, own: Seconds = time.process_time) -> None:
        """`receiving`: for how long that process has had a processor; `own`: for how long this one has."""
        self._clock = clock
        self._receiving = receiving
        self._own = own
        self._seen = clock.monotonic(), receiving(), own()
        self._owed = self._until = self._yielded = 0.0

    @classmethod
    def to(cls, process: int, clock: Clock) -> "Deference":
        """To the process with this number, for as long as this one lives."""
        try:
            file = os.open(f"/proc/{process}/schedstat", os.O_RDONLY)
        except OSError:
            return cls(clock, lambda: 0.0)
        return cls(clock, lambda: _ran(file))

    async def __call__(self) -> None:
        """Rest, or just let others have their turn on the loop; to be called after each event."""
        while rest := self.rest(self._clock.monotonic()):  # noqa: ASYNC110  until the other one has had its time
            await asyncio.sleep(rest)
        if self._clock.monotonic() - self._yielded > TURN:
            await asyncio.sleep(0)
            self._yielded = self._clock.monotonic()

    def rest(self, now: float) -> float:
        """Seconds to rest at this moment of the clock."""
        since, received, delivered = self._seen
        elapsed = now - since
        if now >= self._until and (self._owed or elapsed >= WINDOW):
            self._seen = now, self._receiving(), self._own()
            flood = elapsed < STALE and self._seen[1] - received > BUSY * elapsed
            used = self._seen[2] - delivered
            self._owed = max(0.0, self._owed + used / SHARE - elapsed) if flood else 0.0
            self._until = now + min(self._owed, WINDOW)
        return max(0.0, self._until - now)


def _ran(file: int) -> float:
    """Seconds for which the first thread of a process was running.

    Linux's schedstat (Documentation/scheduler/sched-stats.rst); where it is not kept, nobody is deferred to.
    """
    try:
        running, _, _ = os.pread(file, 100, 0).split()
    except (OSError, ValueError):  # it has ended
        return 0.0
    return int(running) / 1e9
