"""Deference: in a flood delivering keeps to its share; else it is not held up."""

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.clock import SystemClock
from mailbell.delivery.deference import BUSY, SHARE, STALE, WINDOW, Deference

TURN = 0.0003
"""Seconds that an event takes."""


class Machine:
    """Two cores: delivering works on one whenever it does not rest, receiving takes a part of the other."""

    def __init__(self, receiving: float) -> None:
        self.receiving = receiving
        self.now = self.received = self.delivered = 0.0
        self.deference = Deference(self, lambda: self.received, lambda: self.delivered)

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def deliver(self, seconds: float) -> float:
        """An event, and the rest after it."""
        self.delivered += seconds
        self._pass(seconds)
        rest = self.deference.rest(self.now)
        self._pass(rest)
        return rest

    def idle(self, seconds: float) -> None:
        """Nothing to deliver."""
        self._pass(seconds)

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        self.received += seconds * self.receiving


@pytest.mark.parametrize("receiving", [0.0, 0.2, BUSY * 0.9])
def test_nobody_waits_while_receiving_has_time_left(receiving: float) -> None:
    machine = Machine(receiving)
    assert {machine.deliver(TURN) for _ in range(1000)} == {0.0}


@given(st.lists(st.floats(TURN, WINDOW), min_size=300, max_size=400), st.floats(BUSY * 1.1, 1.0))
def test_in_a_flood_delivering_keeps_to_its_share(turns: list[float], receiving: float) -> None:
    machine = Machine(receiving)
    for seconds in turns:
        machine.deliver(seconds)
    assert machine.delivered <= machine.now * SHARE + 2 * WINDOW


def test_a_burst_is_no_flood() -> None:
    machine = Machine(1.0)
    assert {machine.deliver(TURN) for _ in range(int(WINDOW / TURN))} == {0.0}
    machine.idle(1.0)
    assert {machine.deliver(TURN) for _ in range(int(WINDOW / TURN))} == {0.0}


def test_after_a_flood_all_of_the_processor_is_used() -> None:
    machine = Machine(1.0)
    for _ in range(1000):
        machine.deliver(TURN)
    machine.receiving = 0.1
    assert sum(machine.deliver(TURN) for _ in range(1000)) <= WINDOW / SHARE
    assert {machine.deliver(TURN) for _ in range(1000)} == {0.0}


def test_what_the_start_has_taken_is_no_reason_to_rest() -> None:
    machine = Machine(1.0)
    assert machine.deliver(STALE) == 0


async def test_it_sees_a_process_that_works_and_one_that_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        deference = Deference.to(other.pid, SystemClock())
        while not deference.rest(time.monotonic()):
            sum(range(10_000))
        other.kill()
    over = time.monotonic() + STALE + WINDOW / SHARE
    while time.monotonic() < over:
        await deference()
    assert deference.rest(time.monotonic()) == 0
