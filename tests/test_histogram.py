"""The histogram, against the numbers themselves."""

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.histogram import BOUNDS, Histogram


def test_the_bounds_rise() -> None:
    assert sorted(set(BOUNDS)) == list(BOUNDS)


def test_a_bound_belongs_to_its_bucket() -> None:
    histogram = Histogram()
    histogram.add(BOUNDS[3])
    assert [count for _, count in histogram.up_to()] == [0] * 3 + [1] * (len(BOUNDS) - 2)


def test_two_have_nothing_in_common() -> None:
    Histogram().add(1.0)
    assert sum(Histogram().counts) == 0


@given(st.lists(st.one_of(st.floats(0, 5000), st.sampled_from(BOUNDS))))
def test_whatever_is_counted(seconds: list[float]) -> None:
    histogram = Histogram()
    for each in seconds:
        histogram.add(each)
    there: Histogram = pickle.loads(pickle.dumps(histogram))  # as it comes from the other process
    for bound, count in there.up_to():
        assert count == sum(each <= bound for each in seconds)
    assert bound == math.inf
    assert there.seconds == pytest.approx(sum(seconds))
