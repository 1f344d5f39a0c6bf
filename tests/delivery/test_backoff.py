"""The delays between tries."""

from hypothesis import given
from hypothesis import strategies as st

from mailbell.delivery.backoff import DELAYS, JITTER, next_attempt

DAY = 86400.0


def test_the_delays_grow_as_promised_then_stay_hourly() -> None:
    delays = [next_attempt(attempt, 0.0, 0.0, DAY, 0.0) for attempt in range(1, 9)]
    assert delays == [1, 5, 30, 120, 600, 3600, 3600, 3600]


def test_the_receivers_own_delay_goes_before_ours() -> None:
    assert next_attempt(1, 0.0, 100.0, DAY, 0.0, after=42.0) == 142.0


def test_an_event_is_given_up_when_its_time_is_over() -> None:
    assert next_attempt(7, 0.0, 3 * DAY - 3600, 3 * DAY, 0.0) == 3 * DAY
    assert next_attempt(7, 0.0, 3 * DAY - 3599, 3 * DAY, 0.0) is None


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_only_adds_and_little(attempt: int, fraction: float) -> None:
    delay = DELAYS[min(attempt, len(DELAYS)) - 1]
    at = next_attempt(attempt, 0.0, 0.0, DAY, fraction)
    assert at is not None
    assert delay <= at <= delay * (1 + JITTER)
