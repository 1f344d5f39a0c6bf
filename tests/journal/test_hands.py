"""In whose hand events are, without a server."""

import pytest

from mailbell.journal.base import Claim
from mailbell.journal.hands import REMEMBERED, Hand, Hands


def hand(sequence: int, *, waited: bool = False) -> Hand:
    return Hand(sequence, f"reply.{sequence}", (waited, sequence), 1)


def given(hands: Hands, *sequences: int) -> None:
    for sequence in sequences:
        hands.came(sequence)
        hands.fresh[sequence] = hand(sequence)


def claimed(hands: Hands, sequence: int) -> Claim:
    return hands.claim(Claim(sequence), hands.fresh.pop(sequence))


def test_the_position_is_before_the_first_that_is_unanswered() -> None:
    hands = Hands()
    given(hands, 1, 2, 3)
    first, second = claimed(hands, 1), claimed(hands, 2)
    assert (hands.position, hands.lag(5)) == (0, 5)
    assert hands.answer(first) == hand(1)
    assert (hands.position, hands.lag(5)) == (1, 4)
    hands.answer(second)
    hands.fresh.clear()
    assert (hands.position, hands.lag(5)) == (3, 2)


def test_what_is_retried_holds_no_position_and_is_no_lag() -> None:
    hands = Hands()
    hands.came(1)
    hands.claim(Claim(1, 2), hand(1, waited=True))
    assert (hands.position, hands.lag(1), hands.retried()) == (1, 0, [1])


def test_an_event_is_answered_once() -> None:
    hands = Hands()
    given(hands, 1)
    claim = claimed(hands, 1)
    hands.answer(claim)
    with pytest.raises(ValueError, match="event 1 is not claimed"):
        hands.answer(claim)


def test_after_the_lease_was_lost_an_answer_is_of_no_effect() -> None:
    hands = Hands()
    given(hands, 1, 2)
    claim = claimed(hands, 1)
    hands.lapse()
    assert not hands.has(1)
    assert not hands.has(2)
    assert hands.answer(claim) is None


def test_what_another_node_has_is_pending_until_it_comes_here_or_is_answered() -> None:
    hands = Hands()
    hands.learn(delivered=3, floor=1, unanswered=2)
    assert [hands.is_pending(each) for each in (1, 2, 3, 4)] == [False, True, True, True]
    assert hands.lag(3) == 2
    given(hands, 2)  # it was handed back there
    assert hands.lag(3) == 2
    hands.settle(hands.answer(claimed(hands, 2)) or hand(0))
    assert (hands.is_pending(2), hands.is_pending(3), hands.lag(3)) == (False, True, 1)


def test_what_is_settled_is_remembered_for_a_while() -> None:
    hands = Hands()
    for sequence in range(1, REMEMBERED + 2):
        hands.settle(hand(sequence))
    assert not hands.is_settled(hand(1))
    assert hands.is_settled(hand(2))
    assert not hands.is_settled(hand(2, waited=True))
