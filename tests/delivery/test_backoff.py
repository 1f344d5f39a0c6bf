"""The delays between tries."""

from hypothesis import given
from hypothesis import strategies as st

from mailbell.delivery.backoff import DELAYS, JITTER, next_delay

DAY = 86400.0


def test_the_delays_grow_as_promised_then_stay_hourly() -> None:
    delays = [next_delay(attempt, 0.0, DAY, 0.0) for attempt in range(1, 9)]
    assert delays == [1, 5, 30, 120, 600, 3600, 3600, 3600]


def test_the_receivers_own_delay_goes_before_ours() -> None:
    assert next_delay(1, 0.0, DAY, 0.0, after=42.0) == 42.0


def test_an_event_is_given_up_when_its_time_is_over() -> None:
    assert next_delay(7, 3 * DAY - 3600, 3 * DAY, 0.0) == 3600
    assert next_delay(7, 3 * DAY - 3599, 3 * DAY, 0.0) is None


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_only_adds_and_little(attempt: int, fraction: float) -> None:
    delay = DELAYS[min(attempt, len(DELAYS)) - 1]
    jittered = next_delay(attempt, 0.0, DAY, fraction)
    assert jittered is not None
    assert delay <= jittered <= delay * (1 + JITTER)
