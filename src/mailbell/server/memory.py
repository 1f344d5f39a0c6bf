"""The memory that messages on their way in may take: above it connections pause, none is dropped."""

from typing import Protocol


class Holder(Protocol):
    """A connection with a message coming in."""

    def pause(self) -> None:
        """Read no more for now."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...


class Budget:
    """Counts the octets held by all connections of the process.

    Over the limit all pause but the one that has held longest: so one message always gets on, and when it is
    stored its octets are free. It may go over the limit by its own size, no more.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._held: dict[Holder, int] = {}  # in order of the first octet
        self._paused: set[Holder] = set()

    @property
    def used(self) -> int:
        """Octets held at the moment."""
        return self._used

    @property
    def paused(self) -> int:
        """Connections that wait for memory."""
        return len(self._paused)

    def hold(self, holder: Holder, octets: int) -> None:
        """The connection now holds so many octets."""
        self._used += octets - self._held.get(holder, 0)
        self._held[holder] = octets
        if self._used > self._limit and holder is not next(iter(self._held)) and holder not in self._paused:
            self._paused.add(holder)
            holder.pause()

    def release(self, holder: Holder) -> None:
        """The connection holds nothing any more."""
        self._used -= self._held.pop(holder, 0)
        self._paused.discard(holder)
        while self._paused and self._used <= self._limit:
            self._paused.pop().resume()
        first = next(iter(self._held), None)
        if first in self._paused:
            self._paused.discard(first)
            first.resume()
