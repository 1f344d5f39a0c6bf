"""Counts by the minute over the last hour: what a small plot shows."""

HOUR = 60
"""Minutes."""


class Minutes:
    """Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._counts = [0] * HOUR
        self._newest = 0
        self.total = 0
        """Since the start."""

    def add(self, now: float, count: int = 1) -> None:
        """Count something that happens now."""
        self._advance(now)
        self._counts[self._newest % HOUR] += count
        self.total += count

    def last_hour(self, now: float) -> list[int]:
        """Sixty counts, oldest first; the last one is of the minute under way."""
        self._advance(now)
        first = (self._newest + 1) % HOUR
        return self._counts[first:] + self._counts[:first]

    def _advance(self, now: float) -> None:
        minute = int(now // 60)
        if minute <= self._newest:
            return
        for passed in range(max(self._newest, minute - HOUR) + 1, minute + 1):
            self._counts[passed % HOUR] = 0
        self._newest = minute
