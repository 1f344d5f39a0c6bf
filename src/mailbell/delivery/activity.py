"""What changes with the lease: scripts hear of it, sinks come up or go down, before the first event flows."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mailbell.lease.base import Lease

HEARING = 1.0
"""Seconds for those who are told of a change, before events flow; who takes longer is not waited for."""

logger = logging.getLogger("mailbell.delivery")

Hears = Callable[[bool], Awaitable[None]]


class Activity:
    """Follows the lease. Sinks get events while there is a `term`, and nothing before all have been told."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.hears: list[Hears] = []
        """Called with whether this node is active now; in this order."""
        self._told: int | None = lease.term

    def __repr__(self) -> str:
        return f"<Activity {self._told} of {self.lease}>"

    @property
    def active(self) -> bool:
        """Whether this node is the active one, as far as all have been told."""
        return self._told is not None

    def term(self) -> int | None:
        """The term in which events may be delivered at this moment."""
        term = self.lease.term
        return term if term == self._told else None

    async def until_active(self) -> None:
        """Return once this node is the active one."""
        term = self.lease.term
        while term is None:
            term = await self.lease.other_than(None)

    async def run(self) -> None:
        """Follow, for ever."""
        while True:
            term = await self.lease.other_than(self._told)
            if self._told is not None:
                self._told = None
                await self._tell(False)
            if term is not None:
                await self._tell(True)
                self._told = term

    async def _tell(self, active: bool) -> None:
        telling = [asyncio.ensure_future(each(active)) for each in self.hears]
        if not telling:
            return
        done, late = await asyncio.wait(telling, timeout=HEARING)
        for task in done:
            if (error := task.exception()) is not None:
                logger.error("a change of the active node was not heard of", exc_info=error)
        for task in late:
            task.add_done_callback(_retrieved)


def _retrieved(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("a change of the active node was not heard of", exc_info=error)
