"""What the rest of the program hands to the web room."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from mailbell.clock import Clock
from mailbell.event.convert import Converted
from mailbell.histogram import Histogram
from mailbell.journal.base import Consumer, Fate, Journal
from mailbell.mailbox import Mailbox
from mailbell.minutes import Minutes
from mailbell.reception import Reception
from mailbell.settings import SinkSettings
from mailbell.web.tap import Tap

Item = Callable[[int], Awaitable[Converted]]
"""The converted mail of a sequence; MailGone when retention was quicker."""

Find = Callable[[str], Awaitable[int | None]]
"""The sequence of the event with this ID, if the inbox has it."""

Mark = Literal["done", "pending", "trouble"]


class NotReleased(Exception):
    """A mail could not be handed on; the text says why."""


class Release(Protocol):
    """Hands a mail on to a real mail server."""

    server: str
    """For people."""

    async def __call__(self, item: Converted, recipients: Sequence[str]) -> None:
        """Hand on to these, not to the mail's own recipients; NotReleased when the server won't have it."""
        ...


class Latency(Protocol):
    """How long deliveries took."""

    total: Histogram


class Tally(Protocol):
    """What a delivery has come to since the start."""

    delivered: int
    retried: int
    last_error: str | None
    last_error_at: float | None

    @property
    def latency(self) -> Latency: ...


class Delivery(Protocol):
    """A sink with its place in the journal."""

    paused: str | None

    @property
    def settings(self) -> SinkSettings: ...
    @property
    def consumer(self) -> Consumer: ...
    @property
    def tally(self) -> Tally: ...
    @property
    def state(self) -> Literal["up", "down", "paused", "standby"]: ...
    @property
    def rate(self) -> float: ...
    @property
    def history(self) -> list[int]: ...
    def pause(self, reason: str) -> None: ...
    def resume(self) -> None: ...
    async def fate(self, sequence: int, item: Converted) -> Fate: ...


class Deliveries(Protocol):
    """Sink by name → its Delivery."""

    def __getitem__(self, name: str, /) -> Delivery: ...
    def __contains__(self, name: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def items(self) -> Iterable[tuple[str, Delivery]]: ...

    def mark(self, sequence: int) -> Mark:
        """How it stands with an event in all sinks."""
        ...

    def subscribe(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Call `listener` with each event whose fate has changed, until what is returned is called."""
        ...

    def changed(self, sequence: int) -> None:
        """Tell those who listen."""
        ...

    def latency(self) -> tuple[float, float] | None:
        """From the final dot until delivered, in the last hour: p50 and p99 in milliseconds, if any."""
        ...


class Head(Protocol):
    """How far the events have come."""

    @property
    def head(self) -> int:
        """Every event up to this one has been through the IO MONITOR."""
        ...

    async def beyond(self, sequence: int) -> int:
        """Return the head once it is beyond this."""
        ...


class Arrivals(Protocol):
    """What has come, by the minute."""

    mails: Minutes
    octets: Minutes


class Point(Protocol):
    """A data point: its last value, and the wall-clock second at which that was set."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def at(self) -> float: ...


class Availability(msgspec.Struct, frozen=True, kw_only=True):
    """High availability: how this node stands. `since`: RFC 3339; `holder`: the active node, where known."""

    mode: Literal["single", "active-standby", "all-active"]
    active: bool
    node: str | None
    since: str | None
    holder: str | None


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The other rooms, as ports, for what is done with the inbox."""

    mailbox: Mailbox
    journal: Journal
    item: Item
    deliveries: Deliveries
    reception: Reception
    ioserver: str
    """The I/O server that mail of the API counts as mail of."""
    release: Release | None
    clock: Clock
    version: str
    database: str


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """The other rooms, as ports, for what the command line asks too: there is no inbox in it."""

    version: str
    folder: Path
    clock: Clock
    journal: Journal
    item: Item
    deliveries: Deliveries
    reception: Reception
    find: Find | None
    """None: the inbox is off."""
    head: Head
    arrivals: Arrivals
    points: Callable[[], Sequence[Point]]
    tap: Tap
    availability: Callable[[], Awaitable[Availability]]
    config: Callable[[], dict[str, Any]]
    """The settings in force, secrets masked."""
