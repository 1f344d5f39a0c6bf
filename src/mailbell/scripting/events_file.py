"""The grammar of an EVENTS file: `event : { JavaScript }` and `function NAME(arguments) : { JavaScript }`.

A unit in error becomes a problem and nothing else: reading goes on at the next line that looks like the head
of one.
"""

import re

from mailbell.scripting.condition import Condition, ConditionError
from mailbell.scripting.js_tokens import closing_brace
from mailbell.scripting.script import Fault

_BLANK = re.compile(r"(?:\s++|//[^\n]*+|#[^\n]*+|/\*.*?(?:\*/|\Z))++", re.DOTALL)
_FUNCTION = re.compile(r"function\s+(?P<name>[\w$]+)\s*\((?P<arguments>[^)]*)\)\s*:[ \t]*")
_EVENT = re.compile(r'(?P<event>(?:[^:"\n{]++|"[^"\n]*+")*+)(?P<colon>:?)[ \t]*')

_FRESH = re.compile(r"^(?:function\s+[\w$]+\s*\([^)]*\)\s*:|\(*(?:IO|[A-Z]{3,})\b[^\n:{]*:)", re.MULTILINE)
_FOREIGN = re.compile(r"^(?:function\s+[\w$]+\s*\([^)]*\)\s*:\s*\{|IO\s+[^\n:{]+:\s*\{)", re.MULTILINE)
"""Heads of units: all, and those that can't be JavaScript, so that a brace is missing before such a line."""

_BASIC = "a basic action is not supported: write it as JavaScript, event : { … }"
_BRACE = "the brace { that opens the action must stand on the line of the event"


class Function:
    """`function NAME(arguments) : { body }`."""

    def __init__(self, name: str, arguments: str, body: str, line: int) -> None:
        self.name = name
        self.arguments = arguments
        self.body = body
        self.line = line


class Rule:
    """`event : { body }`."""

    def __init__(self, condition: Condition, body: str, line: int) -> None:
        self.condition = condition
        self.body = body
        self.line = line


Unit = Function | Rule


def parse(source: str) -> tuple[list[Unit], list[Fault]]:
    """Read a file. Never raises; what can't be read is among the problems, with its line."""
    reader = _Reader(source)
    reader.read()
    return reader.units, reader.problems


class _Reader:
    def __init__(self, source: str) -> None:
        self.source = source
        self.units: list[Unit] = []
        self.problems: list[Fault] = []
        self.position = 0

    def read(self) -> None:
        while not self._at_end():
            start = self.position
            try:
                self._unit()
            except (Fault, ConditionError) as error:
                self.problems.append(Fault(str(error), self._line(start)))
                if self.position == start:
                    self._recover()

    def _at_end(self) -> bool:
        if blank := _BLANK.match(self.source, self.position):
            self.position = blank.end()
        return self.position >= len(self.source)

    def _line(self, position: int) -> int:
        return self.source.count("\n", 0, position) + 1

    def _unit(self) -> None:
        function = _FUNCTION.match(self.source, self.position)
        if function is not None:
            line, body = self._body(function.end())
            arguments = " ".join(function["arguments"].split())
            self.units.append(Function(function["name"], arguments, body, line))
        else:
            self._rule()

    def _rule(self) -> None:
        head = _EVENT.match(self.source, self.position)
        assert head is not None  # noqa: S101  the pattern takes nothing, too
        event = head["event"].strip()
        if not head["colon"]:
            raise Fault(f"event : {{ … }} or function name(…) : {{ … }} expected, got {event[:40] or '…'}")
        if not self.source.startswith("{", head.end()):
            self._basic_action(event, head.end())
        line, body = self._body(head.end())
        self.units.append(Rule(Condition(event), body, line))

    def _basic_action(self, event: str, position: int) -> None:
        action = self.source[position:].partition("\n")[0]
        if not action.strip():
            raise Fault(_BRACE)
        self.position = position + len(action)
        Condition(event)  # its error says more
        raise Fault(_BASIC)

    def _body(self, opening: int) -> tuple[int, str]:
        if not self.source.startswith("{", opening):
            raise Fault(_BRACE)
        closing = closing_brace(self.source, opening)
        if closing is None or _FOREIGN.search(self.source, opening, closing):
            raise Fault("the brace { is not closed")
        self.position = closing + 1
        return self._line(opening), self.source[opening + 1 : closing]

    def _recover(self) -> None:
        line_end = self.source.find("\n", self.position)
        fresh = _FRESH.search(self.source, line_end) if line_end >= 0 else None
        self.position = len(self.source) if fresh is None else fresh.start()
