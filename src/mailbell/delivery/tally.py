"""What a delivery has come to since the start, as plain numbers."""

import math

from mailbell.delivery.latency import Latency
from mailbell.minutes import Minutes

MINUTE = 60.0


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
