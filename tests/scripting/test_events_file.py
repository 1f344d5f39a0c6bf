from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.scripting.events_file import Function, Rule, parse

EXAMPLE = Path(__file__).parents[2] / "examples/events.txt"


def heads(source: str) -> list[str]:
    return [
        f"{unit.line} {unit.name}({unit.arguments})"
        if isinstance(unit, Function)
        else f"{unit.line} {','.join(sorted(unit.condition.names | unit.condition.kinds))}"
        for unit in parse(source)[0]
    ]


def problems(source: str) -> list[str]:
    return [f"{fault.line}: {fault.message}" for fault in parse(source)[1]]


def test_the_script_of_the_hsyco_page() -> None:
    units, faults = parse(EXAMPLE.read_text())
    assert faults == []
    [unit] = units
    assert isinstance(unit, Function)
    assert (unit.name, unit.arguments, unit.line) == ("IOEvent", "name, value", 1)
    assert unit.body.startswith("\n\tif (__run == 1")
    assert unit.body.endswith("\n\t}\n")


def test_rules_functions_and_comments() -> None:
    source = """
# a comment
// another
/* and one
   more */
IO smtp.mail : { messageLog("a : b") }   // behind
IO k.1 = "a : {b}" AND NOT (IO k.2 > 3 OR INIT) : {
  if (x) { y() }
}
function helper(a,
                b) : { return a }
INIT : { } HSYCOSTART : { }
\tHAACTIVE : { }
"""
    assert heads(source) == [
        "6 smtp.mail",
        "7 INIT,k.1,k.2",
        "11 helper(a, b)",
        "12 INIT",
        "12 HSYCOSTART",
        "13 HAACTIVE",
    ]
    assert problems(source) == []


def test_a_unit_in_error_is_left_out_and_the_rest_is_read() -> None:
    source = """INIT : { ok() }
IO a = 1 : IO b = 2
TIME : { }
IO a b : { }
nonsense
  more nonsense }
HSYCOSTART :
{
  code()
}
function broken() : {
  if (x) {
}
function fine() : { }
IO a : {
  unclosed(
"""
    assert heads(source) == ["1 INIT", "14 fine()"]
    assert problems(source) == [
        "2: a basic action is not supported: write it as JavaScript, event : { … }",
        "3: the event TIME is not supported; there are IO, IOSTART, INIT, HSYCOSTART, HAACTIVE",
        "4: AND or OR expected before b",
        "5: event : { … } or function name(…) : { … } expected, got nonsense",
        "7: the brace { that opens the action must stand on the line of the event",
        "11: the brace { is not closed",
        "15: the brace { is not closed",
    ]


def test_a_function_as_plain_javascript_is_told_what_is_missing() -> None:
    assert problems("function IOEvent(name, value) {\n}\nINIT : { }") == [
        "1: event : { … } or function name(…) : { … } expected, got function IOEvent(name, value)"
    ]
    assert problems("function f() : x\n") == [
        "1: the brace { that opens the action must stand on the line of the event"
    ]


@pytest.mark.parametrize("source", ["", "\n\n", "# only a comment", "/* open"])
def test_nothing_in_it(source: str) -> None:
    assert parse(source) == ([], [])


PIECES = st.sampled_from(
    [
        "IO a",
        " : ",
        "{",
        "}",
        "\n",
        "INIT",
        "function f(a)",
        '"',
        "'",
        "`",
        "//",
        "/*",
        "*/",
        "#",
        "x()",
        "/",
        "AND",
        "= 1",
    ]
)


@given(st.lists(PIECES, max_size=40).map("".join) | st.text())
def test_any_text_is_read_to_its_end(source: str) -> None:
    units, faults = parse(source)
    lines = source.count("\n") + 1
    assert all(1 <= unit.line <= lines for unit in units)
    assert all(fault.line is not None and 1 <= fault.line <= lines for fault in faults)


@given(st.lists(st.sampled_from(["a = '}'", "if (b) { c() }", "/[}]/.test(d)", "`${ {} }`", "// }\n"])))
def test_any_body_is_matched_whole(statements: list[str]) -> None:
    body = ";".join(statements)
    units, faults = parse(f"IO a : {{{body}}}\nINIT : {{ }}")
    assert faults == []
    assert [unit.body for unit in units] == [body, " "]
    assert isinstance(units[0], Rule)
