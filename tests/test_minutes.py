"""Counts by the minute, against a list of all that was counted."""

from hypothesis import given
from hypothesis import strategies as st

from mailbell.minutes import HOUR, Minutes


def test_the_last_one_is_the_minute_under_way() -> None:
    minutes = Minutes()
    minutes.add(30.0)
    minutes.add(59.9, 2)
    minutes.add(60.0)
    assert minutes.last_hour(61.0) == [0] * 58 + [3, 1]
    assert minutes.last_hour(60.0 * 60) == [1] + [0] * 59
    assert minutes.last_hour(60.0 * 61) == [0] * 60


@given(st.lists(st.tuples(st.floats(0, 4000), st.integers(1, 9)), max_size=30), st.floats(0, 8000))
def test_whatever_the_times(steps: list[tuple[float, int]], rest: float) -> None:
    minutes, now, counted = Minutes(), 0.0, []
    for wait, count in steps:
        now += wait
        minutes.add(now, count)
        counted.append((int(now // 60), count))
    now += rest
    expected = [
        sum(count for minute, count in counted if minute == int(now // 60) - back)
        for back in range(HOUR - 1, -1, -1)
    ]
    assert minutes.last_hour(now) == expected
