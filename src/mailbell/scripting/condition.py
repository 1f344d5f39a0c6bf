"""The event of an EVENTS rule: system events and comparisons of data points, with AND, OR, NOT and brackets.

`IO name` alone is true at the moment of a change; `IO name = value` stays true as long as the value does. A
rule is looked at when something that its event names happens. AND and OR are of one rank, from left to
right; NOT binds first.
"""

import re
from collections.abc import Callable

from mailbell.scripting.script import HAACTIVE, HSYCOSTART, INIT, IO, IOSTART, Trigger

Lookup = Callable[[str], str | None]
Test = Callable[[Trigger, Lookup], bool]

_TOKEN = re.compile(r'\s*("[^"]*"?|[()]|<=|>=|!=|[=<>]|[^\s()<>=!"]+|!)')
_NUMBER = re.compile(r"\s*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*")
_JOINS = ("AND", "OR")
_DEEPEST = 50
_SYSTEM = (INIT, HSYCOSTART, HAACTIVE)

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


class ConditionError(ValueError):
    """The event of a rule can't be read."""


class Condition:
    """The event of a rule. `names` are the data points and `kinds` the triggers that it is looked at for."""

    def __init__(self, text: str) -> None:
        self.names: set[str] = set()
        self.kinds: set[str] = set()
        self._tokens = _split(text)
        self._depth = 0
        self._test = self._expression()
        if self._tokens:
            raise ConditionError(f"AND or OR expected before {self._tokens[0]}")

    def holds(self, trigger: Trigger, lookup: Lookup) -> bool:
        """Tell whether the rule is to run. `lookup` gives the last value of a data point."""
        concerned = trigger.key in self.names if trigger.kind == IO else trigger.kind in self.kinds
        return concerned and self._test(trigger, lookup)

    def _take(self, expected: str) -> str:
        if not self._tokens:
            raise ConditionError(f"{expected} expected at the end")
        return self._tokens.pop(0)

    def _expression(self) -> Test:
        steps = [("OR", self._term())]
        while self._tokens and self._tokens[0] in _JOINS:
            steps.append((self._tokens.pop(0), self._term()))
        return lambda trigger, lookup: _left_to_right(steps, trigger, lookup)

    def _term(self) -> Test:
        word = self._take("an event")
        if word not in ("NOT", "("):
            return self._event(word)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ConditionError(f"brackets and NOTs nested more than {_DEEPEST} deep")
        test = self._negated() if word == "NOT" else self._bracketed()
        self._depth -= 1
        return test

    def _negated(self) -> Test:
        negated = self._term()
        return lambda trigger, lookup: not negated(trigger, lookup)

    def _bracketed(self) -> Test:
        inner = self._expression()
        if self._take(")") != ")":
            raise ConditionError(") expected")
        return inner

    def _event(self, word: str) -> Test:
        if word == IO:
            return self._io()
        if word == IOSTART:
            return self._io_start()
        if word not in _SYSTEM:
            raise ConditionError(
                f"the event {word} is not supported; there are IO, IOSTART, {', '.join(_SYSTEM)}"
            )
        self.kinds.add(word)
        if word == HAACTIVE:  # fired on every change of state, true when this node becomes the active one
            return lambda trigger, _: trigger.kind == HAACTIVE and trigger.active
        return lambda trigger, _: trigger.kind == word

    def _io_start(self) -> Test:
        self.kinds.add(IOSTART)
        id_ = self._tokens.pop(0) if self._tokens and self._tokens[0] not in (*_JOINS, ")") else None
        return lambda trigger, _: trigger.kind == IOSTART and id_ in (None, trigger.key)

    def _io(self) -> Test:
        name = self._take("the name of a data point")
        self.names.add(name)
        if not self._tokens or self._tokens[0] not in _COMPARE:
            return lambda trigger, _: trigger.kind == IO and trigger.key == name
        operator, value = self._tokens.pop(0), _unquote(self._take("a value"))

        def compare(trigger: Trigger, lookup: Lookup) -> bool:
            changed = trigger.kind == IO and trigger.key == name
            return _compare(operator, trigger.value if changed else lookup(name), value)

        return compare


def _split(text: str) -> list[str]:
    found: list[str] = []
    position = 0
    while match := _TOKEN.match(text, position):
        found.append(match[1])
        position = match.end()
    return found


def _left_to_right(steps: list[tuple[str, Test]], trigger: Trigger, lookup: Lookup) -> bool:
    held = False
    for join, test in steps:
        if held == (join == "AND"):
            held = test(trigger, lookup)
    return held


def _unquote(word: str) -> str:
    if word.startswith('"') and (len(word) < 2 or not word.endswith('"')):
        raise ConditionError("a quote is not closed")
    return word[1:-1] if word.startswith('"') else word


def _compare(operator: str, left: str | None, right: str) -> bool:
    """As numbers where both are; else as texts, which are equal or not and never more or less."""
    if left is None:
        return False
    if _NUMBER.fullmatch(left) and _NUMBER.fullmatch(right):
        return _COMPARE[operator](float(left), float(right))
    return {"=": left == right, "!=": left != right}.get(operator, False)
