"""The JavaScript engine, in this process; what hangs or crashes is tested in a child (test_runner.py)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.scripting.javascript import EventsFile, JavaScriptFile
from mailbell.scripting.script import HAACTIVE, INIT, IO, Builtins, Fault, Script, Trigger

MEMORY = 64 * 2**20


class World:
    """A script with what it has logged; `fire` calls what wants the trigger, and returns the faults."""

    def __init__(self, source: str, *, events: bool = False, run: int = 1) -> None:
        self.logged: list[str] = []
        self.builtins = Builtins(lambda level, text: self.logged.append("-+"[level] + text), run)
        kind = EventsFile if events else JavaScriptFile
        self.script: Script = kind(source, "s.js", self.builtins, MEMORY)

    def fire(
        self, value: str = "", *, key: str = "smtp.mail", kind: str = IO, active: bool = True
    ) -> list[tuple[int | None, str]]:
        trigger = Trigger(kind, key, value, active, event={"subject": value})
        faults: list[tuple[int | None, str]] = []
        self.script.before(trigger)
        for handler in self.script.handlers:
            if handler.wants(trigger):
                try:
                    handler.call(trigger)
                except Fault as fault:
                    faults.append((fault.line, fault.message))
        return faults

    @property
    def problems(self) -> list[tuple[int | None, str]]:
        return [(fault.line, fault.message) for fault in self.script.problems]


def load_fault(source: str) -> Fault:
    with pytest.raises(Fault) as caught:
        World(source)
    return caught.value


def test_a_callback_gets_key_and_value() -> None:
    world = World("function IOEvent(name, value) { messageLog(name + '=' + value); errorLog('e') }")
    assert world.fire("v") == []
    assert world.logged == ["-smtp.mail=v", "+e"]


def test_callbacks_may_be_arrow_functions_and_constants() -> None:
    world = World(
        "const IOEvent = (name, value) => messageLog(value); let on_mail = e => messageLog(e.subject)"
    )
    world.fire("v")
    assert world.logged == ["-v", "-v"]


def test_sloppy_mode_and_globals_that_last() -> None:
    world = World(
        "function IOEvent() { if (typeof n === 'undefined') n = 0; n++; messageLog(n); with ({a: 1}) a }"
    )
    world.fire()
    world.fire()
    assert world.logged == ["-1", "-2"]


def test_the_built_in_variables() -> None:
    world = World("function IOEvent() { messageLog(__run + triggerKey + triggerValue) }")
    world.fire("v", key="k.1")
    assert world.logged == ["-1k.1v"]
    assert World("if (__run !== 0) throw 1", run=0).problems == []


def test_variables() -> None:
    world = World(
        """function IOEvent(name) {
          messageLog(varGet("none") === null)
          varSet("n", 1); varSet("b", true); varSet("gone", "x"); varSet("gone", null)
          messageLog([varGet("n"), typeof varGet("n"), varGet("b"), varGet("gone")].join())
          messageLog(ioGet("smtp.mail") + ioGet("other") + haActive())
        }"""
    )
    world.builtins.update({}, {"smtp.mail": "last"}, active=True)
    assert world.fire() == []
    assert world.logged == ["-true", "-1,string,true,", "-lastnulltrue"]
    assert world.builtins.take_changed() == {"n": "1", "b": "true", "gone": None}


def test_ha_active_event_gets_a_boolean() -> None:
    world = World("function haActiveEvent(active) { messageLog(active === false) }")
    world.fire(kind=HAACTIVE, active=False)
    assert world.logged == ["-true"]


@given(st.text(alphabet=st.characters()))
def test_any_text_goes_both_ways(text: str) -> None:
    world = World(
        "function IOEvent(name, value) { varSet(value, value); messageLog(varGet(value)); throw value }"
    )
    [(_, message)] = world.fire(text)
    assert world.logged == ["-" + text]
    assert world.builtins.take_changed() == {text: text}
    assert message == "uncaught " + text


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("null.x", (3, "TypeError: cannot read property 'x' of null")),
        ("missing()", (3, "ReferenceError: missing is not defined")),
        ("throw new Error('a\\n    at b')", (3, "Error: a\n    at b")),
        ("throw 'text'", (None, "uncaught text")),
        ("throw {a: 1}", (None, 'uncaught {"a":1}')),
        ("throw undefined", (None, "uncaught undefined")),
        ("throw Symbol()", (None, "uncaught Symbol()")),
        ("throw Object.create(null)", (None, "uncaught object")),
        ("throw 10n", (None, "uncaught 10")),
        ("messageLog({toString() { return {} }})", (3, "TypeError: toPrimitive")),
        ("messageLog(Object.create(null))", (3, "TypeError: toPrimitive")),
        ("JSON.parse('{')", (3, None)),
        ("eval('(')", (3, None)),
        ("IOEvent()", (3, "RangeError: Maximum call stack size exceeded")),
    ],
)
def test_exceptions_have_line_and_message(code: str, fault: tuple[int | None, str | None]) -> None:
    world = World(f"function IOEvent() {{\n\n  {code}\n}}")
    [(line, message)] = world.fire()
    assert line == fault[0]
    assert fault[1] is None or message == fault[1]


def test_an_error_deep_inside_has_the_line_where_it_was_thrown() -> None:
    world = World("function f() {\n  throw new Error('x')\n}\nfunction IOEvent() {\n  f()\n}")
    assert world.fire() == [(2, "Error: x")]


def test_running_out_of_memory_is_fatal() -> None:
    world = World("function IOEvent() { var a = []; for (;;) a.push(new Array(1000).fill(1)) }")
    [handler] = world.script.handlers
    with pytest.raises(Fault, match="out of memory") as caught:
        handler.call(Trigger(IO, "k", "v", active=True))
    assert caught.value.fatal


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("\nvar a = ;", 2),
        ("function f() {\n", 2),
        ("function f() {\n  g(\n}\n", 3),
        ("\n`\n\n", 2),
        ("\n/*\n", 2),
        ("\n\n'\n'", 3),
        ("import x from 'y'", 1),
        ("return 1", 1),
    ],
)
def test_syntax_errors_have_a_line_of_the_file(source: str, line: int) -> None:
    fault = load_fault(source)
    assert fault.message.startswith("SyntaxError: ")
    assert fault.line == line


def test_an_exception_at_top_level_is_the_files() -> None:
    fault = load_fault("\nmissing()")
    assert (fault.line, fault.message, fault.missing) == (
        2,
        "ReferenceError: missing is not defined",
        "missing",
    )


@pytest.mark.parametrize(
    "source", ["10n", "Symbol()", "'\\ud800'", "({})", "// only", "#!/usr/bin/env js\n1"]
)
def test_whatever_a_file_evaluates_to(source: str) -> None:
    assert World(source).problems == []


def test_promises_run_to_their_end() -> None:
    world = World(
        """async function IOEvent(name, value) {
          await null; messageLog("later " + value); Promise.resolve().then(() => messageLog("last"))
        }"""
    )
    assert world.fire("v") == []
    assert world.logged == ["-later v", "-last"]


def test_a_rejected_promise_is_an_exception() -> None:
    world = World("async function IOEvent() {\n  await null\n  throw new Error('late')\n}")
    assert world.fire() == [(3, "Error: late")]
    assert world.fire() == [(3, "Error: late")]


def test_a_script_that_breaks_the_language_harms_only_itself() -> None:
    world = World(
        """JSON.parse = JSON.stringify = String = null
        function IOEvent(name, value) { messageLog(value); varSet('a', value) }"""
    )
    assert world.fire("v") == []
    assert world.logged == ["-v"]


def test_calls_of_names_that_are_nowhere() -> None:
    world = World(
        "function IOEvent() {\n  if (__run == 1 && x)\n    mesageLog('a'), messageLog(parseInt('1'))\n}"
    )
    assert world.script.undefined() == {"mesageLog": 3}


def test_events_file_with_rules_and_functions() -> None:
    world = World(
        """INIT : { var n = 10; function up() { return ++n } }
IO k.1 = "on" : {
  messageLog("rule " + triggerKey + triggerValue + up()); return
}
function helper(a, b) : { return a + b }
function IOEvent(name, value) : {
  messageLog("callback " + helper(name, value))
}
IO k.1 AND NOT IO k.2 = 1 : { var local = 1; messageLog("other") }
IO k.3 : { messageLog(typeof local) }
HAACTIVE : { messageLog("active") }
""",
        events=True,
    )
    assert world.problems == []
    world.fire(kind=INIT, key=INIT)
    assert world.fire("on", key="k.1") == []
    assert world.logged == ["-rule k.1on11", "-callback k.1on", "-other"]
    world.fire("1", key="k.3")
    assert world.logged[3:] == ["-callback k.31", "-undefined"]
    world.fire(kind=HAACTIVE, key=HAACTIVE)
    assert world.logged[5:] == ["-active"]


def test_errors_of_an_events_file_have_its_lines() -> None:
    world = World(
        """# comment
function IOEvent(name, value) : {
  if (value == "a") missing()
}
IO k : {

  throw new Error("x") }
IO k : { throw new Error("y") }
INIT : {
  nowhere()
}""",
        events=True,
    )
    assert world.fire("a", key="k") == [
        (3, "ReferenceError: missing is not defined"),
        (7, "Error: x"),
        (8, "Error: y"),
    ]
    assert world.fire(kind=INIT) == [(10, "ReferenceError: nowhere is not defined")]


def test_a_unit_that_is_no_javascript_is_left_out() -> None:
    world = World(
        """function IOEvent(name, value) : {
  var = 1
}
IO k : { a b }
INIT : {
  if (
}
IO k : { messageLog("fine") }
function ok(a b) : { }
""",
        events=True,
    )
    assert [line for line, _ in world.problems] == [2, 4, 7, 9]
    assert all(message.startswith("SyntaxError: ") for _, message in world.problems)
    world.fire(key="k")
    assert world.logged == ["-fine"]


def test_memory_stays_flat_over_many_events() -> None:
    world = World("function IOEvent(name, value) { var m = JSON.parse(value); last = m.body[0] }")
    engine = world.script.engine  # type: ignore[attr-defined]
    value = '{"body":["' + "x" * 2000 + '"]}'
    for _ in range(100):
        world.fire(value)
    before = engine._context.memory()["memory_used_size"]
    for _ in range(2000):
        world.fire(value)
    assert engine._context.memory()["memory_used_size"] < before + 100_000
