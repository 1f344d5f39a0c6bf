"""How long something has taken since the start, in buckets: what quantiles and heatmaps are made of."""

import math
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

import msgspec

BOUNDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0),
)
"""Seconds: from the commit of a good disk to a receiver that was down for a while."""


class Histogram(msgspec.Struct):
    """`counts`: how many took as long as each of BOUNDS or less, but longer than the one before.

    The last one is of those that took longer than all bounds.
    """

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0
    """Of all together."""

    def add(self, seconds: float) -> None:
        """Count one: cheap enough for every mail."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def up_to(self) -> Iterator[tuple[float, int]]:
        """For each bound, infinity at the end: how many took no longer."""
        return zip((*BOUNDS, math.inf), accumulate(self.counts), strict=True)
