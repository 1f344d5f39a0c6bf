"""The port of a sink, and what a delivery can come to."""

from typing import Protocol, runtime_checkable

import msgspec

from mailbell.event.convert import Converted


class Delivered(msgspec.Struct, frozen=True):
    """The receiver has it."""


class Retry(msgspec.Struct, frozen=True):
    """Not now: try again, after the usual backoff or the `after` seconds that the receiver asked for."""

    reason: str
    after: float | None = None


class Reject(msgspec.Struct, frozen=True):
    """Never: the receiver will not take this event however often it is tried. It is parked."""

    reason: str


class Pause(msgspec.Struct, frozen=True):
    """The receiver wants no more events: this one goes back uncounted, and none is tried until a resume."""

    reason: str


Outcome = Delivered | Retry | Reject | Pause


class Sink(Protocol):
    """Somewhere that events go. It returns an outcome; only `delivery` acknowledges."""

    name: str
    sequential: bool
    """One event at a time, in order of arrival (a retried one comes later)."""

    async def start(self) -> None:
        """Come up, or raise SinkUnavailable with the remedy; called again until it succeeds."""
        ...

    async def deliver(self, item: Converted) -> Outcome:
        """Hand one event over. An exception counts as Retry; cancelling means that the outcome is unknown."""
        ...

    async def stop(self) -> None:
        """Let go of everything; may be called without start()."""
        ...


@runtime_checkable
class Forgets(Protocol):
    """A sink that leaves something behind at the receiver, and can take it away again."""

    def forget(self) -> None:
        """Let `stop` take it away: the sink has been removed from the settings."""
        ...
