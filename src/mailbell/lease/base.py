"""The port of the lease: which node may deliver, at this moment; and the lease of one that is alone."""

import asyncio
from typing import Literal, Protocol

import msgspec

from mailbell.clock import Clock

Mode = Literal["single", "active-standby", "all-active"]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a node stands, for people. `since`, by the wall clock, is when it became so."""

    mode: Mode
    node: str
    active: bool
    since: float
    holder: str | None
    """The active node, as far as is known here; of several, this one."""


class Lease(Protocol):
    """What makes a node the active one, for a time that ends by itself."""

    @property
    def term(self) -> int | None:
        """The term that is held at this very moment; None: this node is not active.

        Each time that the lease is won it is another one. Cheap: asked right before each delivery. A process
        that was stopped for a while, or cut off, is told None before another node can have been told a term.
        """
        ...

    @property
    def until(self) -> float | None:
        """By `clock.steady`, when the term that was held last ends unless it is renewed; None: never.

        For what goes to another process of this machine: it can look at the clock when it has it.
        """
        ...

    @property
    def standing(self) -> Standing:
        """How this node stands."""
        ...

    async def other_than(self, term: int | None) -> int | None:
        """Return the term once it is another than this one."""
        ...


class Single:
    """The lease of a node on its own: it is always the active one."""

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
