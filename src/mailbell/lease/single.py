"""The lease of a node on its own: it is always the active one."""

import asyncio

from mailbell.clock import Clock
from mailbell.lease.base import Standing


class Single:
    """See `mailbell.lease.base.Lease`."""

    term = 1
    until = None

    def __init__(self, node: str, clock: Clock) -> None:
        self.standing = Standing(mode="single", node=node, active=True, since=clock.time(), holder=node)

    def __repr__(self) -> str:
        return f"<Single {self.standing.node}>"

    async def other_than(self, term: int | None) -> int | None:
        """Return the term once it is another than this one."""
        if term == self.term:
            await asyncio.Event().wait()
        return self.term
