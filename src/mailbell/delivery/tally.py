"""What a delivery has come to since the start: plain numbers, and how the last events were settled."""

import math
from collections import Counter, OrderedDict
from collections.abc import Iterable

from mailbell.journal.base import Fate
from mailbell.minutes import HOUR, Minutes

MINUTE = 60.0
KEEP = 4096
STEPS = 8
"""Buckets from one time to its double: a percentile is within 5 % of the truth."""


class Latency:
    """How long deliveries took: a histogram for each minute of the last hour, so that it costs no memory.

    `now` is of a monotonic clock; what took longer than an hour is out of place here.
    """

    def __init__(self) -> None:
        self._minutes: dict[int, Counter[int]] = {}

    def add(self, now: float, seconds: float) -> None:
        """Count one."""
        minute = int(now // 60)
        if minute not in self._minutes:
            self._minutes[minute] = Counter()
            for old in [each for each in self._minutes if each <= minute - HOUR]:
                del self._minutes[old]
        milliseconds = max(seconds * 1000, 0.01)
        self._minutes[minute][round(math.log2(milliseconds) * STEPS)] += 1

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


class Tally:
    """Counts; `rate` is events a second over about the last minute."""

    def __init__(self) -> None:
        self.delivered = 0
        self.retried = 0
        self.parked = 0
        self.last_error: str | None = None
        self.last_error_at: float | None = None
        """By the wall clock."""
        self.failing = False
        """The last try came to nothing."""
        self.history = Minutes()
        """Of what was delivered."""
        self.latency = Latency()
        self._rate = 0.0
        self._at = 0.0

    def deliver(self, now: float) -> None:
        """Delivered, at this second of the monotonic clock."""
        self.delivered += 1
        self.failing = False
        self.history.add(now)
        self._rate = self.rate(now) + 1 / MINUTE
        self._at = now

    def fail(self, error: str, time: float, *, parked: bool) -> None:
        """Not delivered, at this wall-clock second: parked, or tried again."""
        self.parked += parked
        self.retried += not parked
        self.failing = not parked
        self.last_error, self.last_error_at = error, time

    def rate(self, now: float) -> float:
        """Events a second; the older they are, the less they weigh."""
        return self._rate * math.exp((self._at - now) / MINUTE)


class Recent:
    """Sequence → Fate of what was settled, the last ones: what the consumer does not keep."""

    def __init__(self, keep: int = KEEP) -> None:
        self._keep = keep
        self._fates: OrderedDict[int, Fate] = OrderedDict()

    def note(self, sequence: int, fate: Fate) -> None:
        """Remember; what is known of an earlier time is replaced."""
        self._fates[sequence] = fate
        self._fates.move_to_end(sequence)
        if len(self._fates) > self._keep:
            self._fates.popitem(last=False)

    def get(self, sequence: int) -> Fate | None:
        """How it was settled, if that is still known."""
        return self._fates.get(sequence)
