"""The memory that messages on their way in may take: above it connections pause, none is dropped.

Theory of operation. A connection says `hold` before the first octet of a message and after each chunk of it,
and `release` at its end. Over the limit all holders pause but the one that has held longest: it always gets
on, and when its message is stored, its octets are free. A holder that comes while the limit is passed pauses
before it has read anything. So the limit is passed by one message and one chunk at most.
"""

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
    """Counts the octets held by all connections of the process."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[Holder, int] = {}  # in order of the first octet
        self._paused: set[Holder] = set()
        self.used = 0
        """Octets held at the moment; to be read only."""

    @property
    def paused(self) -> int:
        """How many connections wait for memory."""
        return len(self._paused)

    def hold(self, holder: Holder, octets: int) -> None:
        """The connection now holds so many octets."""
        self.used += octets - self._held.get(holder, 0)
        self._held[holder] = octets
        if self.used > self._limit:
            self._pause_all_but_the_first()

    def release(self, holder: Holder) -> None:
        """The connection holds nothing any more."""
        if holder not in self._held:
            return
        self.used -= self._held.pop(holder)
        self._paused.discard(holder)
        if not self._paused:
            return
        if self.used <= self._limit:
            self._resume_all()
        else:
            self._resume(next(iter(self._held)))

    def _pause_all_but_the_first(self) -> None:
        first, *others = self._held
        for holder in others:
            if holder not in self._paused:
                self._paused.add(holder)
                holder.pause()
        self._resume(first)

    def _resume(self, holder: Holder) -> None:
        if holder in self._paused:
            self._paused.discard(holder)
            holder.resume()

    def _resume_all(self) -> None:
        paused, self._paused = self._paused, set()
        for holder in paused:
            holder.resume()
