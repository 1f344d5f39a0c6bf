"""What waits, by clocks that are turned by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.journal.hands import Hand
from mailbell.journal.turns import Turns, Waiting
from tests.journal.engines import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def turns(clock: HandClock) -> Turns:
    return Turns(clock)


def hand(sequence: int) -> Hand:
    return Hand(sequence, "reply", (True, sequence), 1)


def hold(turns: Turns, waiting: Waiting) -> None:
    turns.hold(turns.took(waiting), hand(waiting.sequence))


def test_the_first_that_is_due_comes_first(turns: Turns, clock: HandClock) -> None:
    for sequence, delay in ((1, 3.0), (2, 1.0), (3, 2.0)):
        hold(turns, turns.note(sequence, 1, clock.time(), clock.time() + delay, "busy"))
    came = []
    while (due := turns.next_due()) is not None:
        turn = turns.pop_due()
        assert turn.due == due
        assert turn.hand is not None
        came.append(turn.hand.sequence)
        turn.hand = None
    assert came == [2, 3, 1]
    assert turns.all == {1, 2, 3}, "claimed, but not settled"


def test_another_writing_of_the_same_event_is_another_turn(turns: Turns, clock: HandClock) -> None:
    mine = turns.note(1, 1, clock.time(), clock.time() + 5, "busy")
    assert turns.took(mine) is turns.get(1)
    clock.turn(10)
    other = Waiting(1, 2, mine.first_attempt_at, clock.time(), clock.time() + 30, "busy")
    turn = turns.took(other)
    assert (turn.attempts, turn.due) == (2, clock.monotonic() + 30)


def test_a_clock_that_was_set_makes_nothing_wait_longer_or_older(turns: Turns, clock: HandClock) -> None:
    written = Waiting(1, 1, clock.time() - 20, clock.time(), clock.time() + 10, "busy")
    clock.wall -= 1e6
    turn = turns.took(written)
    assert turn.due == clock.monotonic() + 10
    assert turns.due_at(turn) == clock.time() + 10
    assert turns.first_attempt_at(turn) == pytest.approx(clock.time() - 20)
    clock.wall += 1e9
    assert turns.first_attempt_at(turn) == pytest.approx(clock.time() - 20)


def test_what_is_let_go_is_not_due(turns: Turns, clock: HandClock) -> None:
    hold(turns, turns.note(1, 1, None, clock.time(), "busy"))
    assert [each.sequence for each in turns.let_go()] == [1]
    assert turns.next_due() is None
    assert turns.all == {1}


@given(
    listed=st.sets(st.integers(1, 20)),
    known=st.sets(st.integers(1, 20)),
    settled=st.sets(st.integers(1, 20)),
    later=st.sets(st.integers(21, 30)),
    claimed=st.sets(st.integers(1, 20)),
)
def test_a_list_of_the_server_goes_over_all_but_what_has_changed_since(
    listed: set[int], known: set[int], settled: set[int], later: set[int], claimed: set[int]
) -> None:
    turns = Turns(HandClock())
    for sequence in known:
        turns.note(sequence, 1, None, 0, "")
    before = turns.begin_listing()
    for sequence in settled:
        turns.remove(sequence)
    for sequence in later:
        turns.note(sequence, 1, None, 0, "")
    turns.listed(before, listed, claimed)
    assert turns.all == (listed | claimed | later) - settled
    assert all(turns.get(sequence) is None for sequence in settled - later)
