"""Alignment (HSYCO's `startupevents`): the moment at which every sink has come up, or has had its time to."""

import asyncio
from collections.abc import Iterable

PATIENCE = 30.0
"""Seconds that a sink has to come up before the others go on without it."""


class Alignment:
    """Waits for the sinks. I/O servers with `startupevents = false` hold their events until `done`."""

    def __init__(self, sinks: Iterable[str], early: Iterable[str]) -> None:
        self._missing = set(sinks)
        self._early = frozenset(early)
        self._done = asyncio.Event()

    @property
    def any_early(self) -> bool:
        """Has any I/O server `startupevents = true`?"""
        return bool(self._early)

    @property
    def done(self) -> bool:
        """True from the moment of alignment on."""
        return self._done.is_set()

    def open_for(self, ioserver: str) -> bool:
        """May events of this I/O server be delivered yet?"""
        return self.done or ioserver in self._early

    def up(self, sink: str) -> None:
        """This sink has come up."""
        self._missing.discard(sink)
        if not self._missing:
            self._done.set()

    async def run(self, patience: float = PATIENCE) -> tuple[str, ...]:
        """Wait for alignment; return the sinks that did not come up in time."""
        if not self._missing:
            self._done.set()
        try:
            async with asyncio.timeout(patience):
                await self._done.wait()
        except TimeoutError:
            self._done.set()
        return tuple(sorted(self._missing))

    async def wait(self) -> None:
        """Return at alignment."""
        await self._done.wait()
