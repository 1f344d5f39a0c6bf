"""How long deliveries took. Over the last hour: a histogram for each minute, so that it costs no memory."""

import math
from collections import Counter
from collections.abc import Iterable

from mailbell.histogram import Histogram
from mailbell.minutes import HOUR

STEPS = 8
"""Buckets from one time to its double: a percentile is within 5 % of the truth."""


class Latency:
    """`now` is of a monotonic clock; what took longer than an hour is out of place here."""

    def __init__(self) -> None:
        self._minutes: dict[int, Counter[int]] = {}
        self.total = Histogram()
        """Since the start."""

    def add(self, now: float, seconds: float) -> None:
        """Count one."""
        minute = int(now // 60)
        if minute not in self._minutes:
            self._minutes[minute] = Counter()
            for old in [each for each in self._minutes if each <= minute - HOUR]:
                del self._minutes[old]
        seconds = max(seconds, 1e-5)  # a wall clock that was set back
        self._minutes[minute][round(math.log2(seconds * 1000) * STEPS)] += 1
        self.total.add(seconds)

    def buckets(self, now: float) -> Counter[int]:
        """What was counted in the last hour."""
        oldest = int(now // 60) - HOUR
        return sum((each for minute, each in self._minutes.items() if minute > oldest), Counter())


def percentiles(buckets: Iterable[Counter[int]], *shares: float) -> list[float] | None:
    """The times in milliseconds that these shares of all were not above; None where nothing was counted."""
    counts = sum(buckets, Counter[int]())
    total = counts.total()
    return [_percentile(counts, share * total) for share in shares] if total else None


def _percentile(counts: Counter[int], rank: float) -> float:
    passed = 0
    for bucket in sorted(counts):
        passed += counts[bucket]
        if passed >= rank:
            break
    return round(2 ** (bucket / STEPS), 3)
