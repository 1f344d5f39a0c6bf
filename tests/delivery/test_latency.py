"""The histogram, against the numbers themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.delivery.latency import Latency, percentiles


def test_nothing_counted() -> None:
    assert percentiles([Latency().buckets(0)], 0.5) is None


@given(st.lists(st.floats(1e-4, 3000), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_near_the_truth(seconds: list[float], share: float) -> None:
    latency = Latency()
    for each in seconds:
        latency.add(100.0, each)
    true = sorted(seconds)[max(0, -int(-share * len(seconds) // 1) - 1)] * 1000
    found = percentiles([latency.buckets(100.0)], share)
    assert found
    assert found[0] == pytest.approx(true, rel=0.06, abs=0.006)


def test_a_clock_that_was_set_back_takes_nothing_off_the_total() -> None:
    latency = Latency()
    latency.add(0.0, 2.0)
    latency.add(0.0, -3600.0)
    latency.add(60.0 * 200, 2.0)
    assert latency.total.seconds == pytest.approx(4.0, abs=1e-3)
    assert sum(latency.total.counts) == 3


def test_what_is_older_than_an_hour_is_forgotten() -> None:
    latency = Latency()
    latency.add(0.0, 1.0)
    latency.add(60.0 * 30, 2.0)
    assert latency.buckets(60.0 * 59).total() == 2
    assert latency.buckets(60.0 * 61).total() == 1
    latency.add(60.0 * 200, 2.0)
    assert len(latency._minutes) == 1
