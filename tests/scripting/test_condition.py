from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.scripting.condition import Condition, ConditionError
from mailbell.scripting.script import HAACTIVE, HSYCOSTART, INIT, IO, IOSTART, Trigger


def change(key: str, value: str = "") -> Trigger:
    return Trigger(IO, key, value, active=True)


def system(kind: str, key: str = "", active: bool = True) -> Trigger:
    return Trigger(kind, key or kind, "", active)


def holds(text: str, trigger: Trigger, points: Mapping[str, str] = {}) -> bool:
    return Condition(text).holds(trigger, points.get)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("IO k.1", "anything", True),
        ('IO k.1 = "on"', "on", True),
        ('IO k.1 = "on"', "off", False),
        ("IO k.1 = on", "on", True),
        ('IO k.1 != "on"', "off", True),
        ('IO k.1 != "on"', "on", False),
        ("IO k.1 > 25.5", "26", True),
        ("IO k.1 > 25.5", "25.5", False),
        ("IO k.1 >= 25.5", "25.50", True),
        ("IO k.1 < 3", "10", False),
        ("IO k.1 < 10", "3", True),
        ("IO k.1 <= -1", "-2e0", True),
        ("IO k.1 = 1", "1.0", True),
        ("IO k.1<1", "0", True),
        ('IO k.1="a b"', "a b", True),
        ("IO k.1 > 5", "warm", False),
        ("IO k.1 < 5", "warm", False),
        ('IO k.1 = ""', "", True),
        ("NOT IO k.1 = 1", "2", True),
        ("NOT (IO k.1 = 1)", "1", False),
    ],
)
def test_comparisons(text: str, value: str, expected: bool) -> None:
    assert holds(text, change("k.1", value)) is expected


def test_a_change_of_something_else_is_no_trigger() -> None:
    assert not holds("IO k.1", change("k.2"))
    assert not holds("IO k.1 = 1", change("k.2"), {"k.1": "1"})
    assert not holds("NOT IO k.1 = 1", system(INIT))


def test_the_others_are_compared_by_their_last_value() -> None:
    text = "IO k.1 = 1 AND IO k.2 = 2"
    assert holds(text, change("k.1", "1"), {"k.2": "2"})
    assert holds(text, change("k.2", "2"), {"k.1": "1"})
    assert not holds(text, change("k.1", "1"), {"k.2": "3"})
    assert not holds(text, change("k.1", "1"))


def test_the_trigger_counts_by_its_own_value() -> None:
    assert holds("IO k.1 = 1", change("k.1", "1"), {"k.1": "2"})


def test_a_change_is_of_the_moment() -> None:
    assert not holds("IO k.1 AND IO k.2", change("k.1", "1"), {"k.2": "2"})


def test_and_and_or_from_left_to_right() -> None:
    points = {"a": "1", "b": "0", "c": "0"}
    assert not holds("IO a = 1 OR IO b = 1 AND IO c = 1", change("a", "1"), points)
    assert holds("IO a = 1 OR (IO b = 1 AND IO c = 1)", change("a", "1"), points)
    assert holds("NOT IO b = 1 AND IO a = 1", change("a", "1"), points)


def test_a_rule_may_be_long() -> None:
    assert holds(" OR ".join(f"IO k.{number}" for number in range(5000)), change("k.4999"))
    assert holds("(" * 50 + "IO k" + ")" * 50 + " AND (NOT NOT IO k)", change("k"))


@pytest.mark.parametrize("kind", [INIT, HSYCOSTART, IOSTART, HAACTIVE])
def test_system_events(kind: str) -> None:
    assert holds(kind, system(kind))
    assert holds(f"IO x OR {kind}", system(kind))
    assert not holds(kind, change("x"))
    assert not any(
        holds(kind, system(other)) for other in (INIT, HSYCOSTART, IOSTART, HAACTIVE) if other != kind
    )


def test_haactive_is_for_becoming_active() -> None:
    assert not holds("HAACTIVE", system(HAACTIVE, active=False))
    assert holds("NOT HAACTIVE", system(HAACTIVE, active=False))
    assert holds("INIT", system(INIT, active=False))


def test_iostart_of_one_server() -> None:
    assert holds("IOSTART smtp", system(IOSTART, "smtp"))
    assert not holds("IOSTART smtp", system(IOSTART, "other"))
    assert holds("(IOSTART other OR IOSTART) AND NOT INIT", system(IOSTART, "smtp"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an event expected at the end"),
        ("IO", "the name of a data point expected at the end"),
        ("IO a =", "a value expected at the end"),
        ("IO a IO b", "AND or OR expected before IO"),
        ("IO a AND", "an event expected at the end"),
        ("(IO a", ") expected at the end"),
        ("IO a)", "AND or OR expected before )"),
        ('IO a = "b', "a quote is not closed"),
        ("TIME = 1200", "the event TIME is not supported"),
        ("io a", "the event io is not supported"),
        ("NOT " * 2000 + "IO a", "nested more than 50 deep"),
        ("(" * 2000 + "IO a" + ")" * 2000, "nested more than 50 deep"),
    ],
)
def test_what_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(ConditionError, match=message.replace("(", r"\(").replace(")", r"\)")):
        Condition(text)


@given(
    st.text()
    | st.lists(st.sampled_from(["IO", "a.b", "=", "<", '"x"', "AND", "NOT", "(", ")", "INIT"])).map(" ".join)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        condition = Condition(text)
    except ConditionError as error:
        assert str(error)
    else:
        condition.holds(change("a.b", "1"), {"a.b": "1"}.get)
