"""Pace: under load delivering keeps to its share; without, it is not held up."""

from hypothesis import given
from hypothesis import strategies as st

from mailbell.delivery.pace import CREDIT, Pace

SHARE = 0.2


class HandClock:
    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def test_a_quiet_server_delivers_without_a_rest() -> None:
    clock, arrived = HandClock(), [0]
    pace = Pace(clock, lambda: arrived[0], SHARE)
    for _ in range(1000):  # 200 mails a second, 1 ms each
        clock.now += 0.005
        arrived[0] += 1
        assert pace.pause(0.001) == 0


def test_a_backlog_is_delivered_at_full_speed_when_nothing_comes_in() -> None:
    clock = HandClock()
    pace = Pace(clock, lambda: 7, SHARE)
    for _ in range(1000):
        clock.now += 0.001
        assert pace.pause(0.001) == 0


@given(st.lists(st.floats(0.0001, 0.01), min_size=50, max_size=200), st.sampled_from([0.05, SHARE]))
def test_under_load_delivering_takes_no_more_than_its_share(turns: list[float], share: float) -> None:
    clock, arrived = HandClock(), [0]
    pace = Pace(clock, lambda: arrived[0], share)
    for spent in turns:
        clock.now += spent
        arrived[0] += 1
        clock.now += pace.pause(spent)
    assert sum(turns) * 1.0 <= clock.now * share + CREDIT + max(turns)
