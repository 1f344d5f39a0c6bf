"""How long a connection may take: the rules, without sockets, on a clock of our own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.server.patience import (
    EVICTED_AFTER,
    FRUITLESS_AFTER,
    HURRY,
    LINGER,
    RATE_AFTER,
    TURN,
    Parting,
    Patience,
)
from mailbell.settings import Duration, IoServerSettings, Size

SETTINGS = IoServerSettings(idle_timeout=Duration(300), data_timeout=Duration(600), min_rate=Size(100))


class Story:
    """A connection on a clock of its own."""

    def __init__(self) -> None:
        self.patience = Patience(SETTINGS, 0.0)
        self.now = 0.0
        self.waiting_since: float | None = None
        self.between = True
        self.deaf = False

    def after(self, seconds: float) -> Parting | None:
        self.now += seconds
        return self.patience.lost(
            self.now, deaf=self.deaf, between=self.between, waiting_since=self.waiting_since
        )

    def outcome(self, seconds: float) -> str:
        parting = self.after(seconds)
        assert parting is not None
        return parting.outcome

    def somebody_waits(self) -> None:
        self.waiting_since = self.now

    def reply(self) -> None:
        self.patience.active_at = self.now


@pytest.fixture
def story() -> Story:
    return Story()


def test_idle(story: Story) -> None:
    assert story.after(299) is None
    story.reply()
    assert story.after(299) is None
    assert story.outcome(2) == "No command and no part of a message came for longer than idle_timeout."


def test_idle_in_a_transaction(story: Story) -> None:
    story.between = False
    assert "idle_timeout" in story.outcome(301)


def test_idle_while_somebody_waits(story: Story) -> None:
    assert story.after(EVICTED_AFTER + 5) is None, "nobody waits"
    story.somebody_waits()
    assert story.outcome(0) == "It was idle, and another client needed its slot."


def test_a_transaction_under_way_has_longer(story: Story) -> None:
    story.between = False
    story.somebody_waits()
    assert story.after(FRUITLESS_AFTER - 1) is None
    assert story.outcome(2) == "It brought no mail, and another client needed its slot."


def test_a_client_that_talks_and_sends_nothing_loses_its_slot(story: Story) -> None:
    story.between = False
    story.after(1000 - 1)
    story.reply()
    story.somebody_waits()
    for _ in range(10):  # RSET and MAIL, every two seconds
        assert story.after(2) is None
        story.reply()
    assert "no mail" in story.outcome(1)


def test_one_that_sends_mail_keeps_it_for_a_turn(story: Story) -> None:
    for _ in range(100):
        story.patience.heard(story.now, 1000)
        assert story.after(9) is None
        story.patience.begin_again(story.now)
        story.reply()
        assert story.after(9) is None, "nobody waits"
    story.reply()
    story.somebody_waits()
    assert story.after(HURRY) is None, "who has only come is not waited for"
    story.patience.heard(story.now, 1000)
    assert story.after(1) is None, "in the middle of a mail"
    story.patience.begin_again(story.now)
    assert story.outcome(0) == "It had its slot for a while, and another client needed it."


def test_one_that_has_only_come_has_its_turn_whoever_waits(story: Story) -> None:
    story.waiting_since = -1000.0
    for _ in range(int(TURN / 5)):
        assert story.after(5) is None
        story.patience.begin_again(story.now)
    assert "for a while" in story.outcome(0.1)


def test_a_message_that_takes_too_long(story: Story) -> None:
    story.between = False
    for _ in range(60):
        story.patience.heard(story.now, 5000)
        assert story.after(10) is None
    assert story.outcome(1) == "The message took longer than data_timeout."


@pytest.mark.parametrize(("waits", "allowed"), [(False, RATE_AFTER), (True, EVICTED_AFTER)])
def test_a_message_that_comes_too_slowly(story: Story, waits: bool, allowed: float) -> None:
    story.between = False
    story.patience.heard(story.now, 0)
    if waits:
        story.somebody_waits()
    for _ in range(int(allowed)):
        story.patience.heard(story.now, 50)
        assert story.after(1) is None
    assert story.outcome(1) == "The message came more slowly than min_rate."


def test_a_message_at_the_minimum_rate_may_go_on_whoever_waits(story: Story) -> None:
    story.between = False
    story.somebody_waits()
    for _ in range(500):
        story.patience.heard(story.now, 101)
        assert story.after(1) is None


def test_a_client_that_does_not_read(story: Story) -> None:
    story.deaf = True
    assert story.after(299) is None
    assert story.after(2) == Parting(None, "The client did not read its replies.")


def test_a_client_that_does_not_read_while_somebody_waits(story: Story) -> None:
    story.deaf = True
    story.somebody_waits()
    assert story.after(EVICTED_AFTER - 1) is None
    assert "read its replies" in story.outcome(2)


def test_after_the_last_word_the_line_is_cut_soon(story: Story) -> None:
    story.patience.over_since = story.now
    assert story.after(LINGER - 1) is None
    assert story.after(2) == Parting(None, "The client did not close the connection.")


@given(st.lists(st.tuples(st.sampled_from(["reply", "part", "mail", "wait", "serve", "tick"]),
                          st.floats(0, 400, allow_nan=False))))  # fmt: skip
def test_whatever_happens_there_is_an_end(steps: list[tuple[str, float]]) -> None:
    story = Story()
    for step, seconds in steps:
        match step:
            case "reply":
                story.reply()
            case "part":
                story.patience.heard(story.now, 1)
            case "mail":
                story.patience.begin_again(story.now)
            case "wait":
                story.somebody_waits()
            case "serve":
                story.waiting_since = None
        story.after(seconds)
    assert story.after(1e6) is not None
