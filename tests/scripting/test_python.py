"""Python scripts, in this process; what hangs or crashes is tested in a child (test_runner.py)."""

import sys
from collections.abc import Callable

import pytest

from mailbell.scripting.python import MODULE, PythonFile
from mailbell.scripting.script import IO, Builtins, Fault, Trigger


class World:
    """A script with what it has logged; `fire` calls what wants the trigger, and returns the faults."""

    def __init__(self, source: str, run: int = 1) -> None:
        self.logged: list[str] = []
        self.builtins = Builtins(lambda level, text: self.logged.append("-+"[level] + text), run)
        self.script = PythonFile(source, "/nowhere/s.py", self.builtins, 0)

    def fire(self, value: str = "", key: str = "smtp.mail") -> list[tuple[int | None, str]]:
        trigger = Trigger(IO, key, value, active=True, event={"subject": value})
        faults: list[tuple[int | None, str]] = []
        self.script.before(trigger)
        for handler in self.script.handlers:
            if handler.wants(trigger):
                try:
                    handler.call(trigger)
                except Fault as fault:
                    faults.append((fault.line, fault.message))
        self.script.after()
        return faults


Load = Callable[..., World]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a script; what that changes in this interpreter is put back."""
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, MODULE, sys)
    return World


def test_callbacks(load: Load) -> None:
    world = load(
        "def IOEvent(name, value): messageLog(name + '=' + value); errorLog(1)\n"
        "def on_mail(event): messageLog(event['subject'])"
    )
    assert [handler.name for handler in world.script.handlers] == ["IOEvent", "on_mail"]
    assert world.fire("v") == []
    assert world.logged == ["-smtp.mail=v", "+1", "-v"]


def test_the_built_ins_are_those_of_javascript(load: Load) -> None:
    world = load(
        """def IOEvent(name, value):
    messageLog((__run, triggerKey, triggerValue, varGet("none"), haActive()))
    varSet("n", 1); varSet("b", True); varSet("gone", "x"); varSet("gone", None)
    messageLog([varGet("n"), varGet("b"), varGet("gone"), ioGet("smtp.mail"), ioGet("other")])
"""
    )
    world.builtins.update({}, {"smtp.mail": "last"}, active=False)
    assert world.fire("v") == []
    assert world.logged == [
        "-(1, 'smtp.mail', 'v', None, False)",
        "-['1', 'true', None, 'last', None]",
    ]
    assert world.builtins.take_changed() == {"n": "1", "b": "true", "gone": None}


def test_what_is_printed_is_logged_line_by_line_and_in_order(load: Load) -> None:
    world = load(
        """import sys
print("loaded")
def IOEvent(name, value):
    print("one\\ntwo")
    messageLog("between")
    print(value, end="")
    print("bad", file=sys.stderr)
    sys.stdout.flush()
    sys.stdout.buffer.write(b"\\xff raw\\n")
"""
    )
    assert world.logged == ["-loaded"]
    assert world.fire("three \ud800 \0 é") == []
    assert world.logged[1:] == ["-one", "-two", "-between", "+bad", "-three \\ud800 \0 é\ufffd raw"]


def test_globals_last(load: Load) -> None:
    world = load("n = 0\ndef IOEvent(name, value):\n  global n\n  n += 1\n  messageLog(n)")
    world.fire()
    world.fire()
    assert world.logged == ["-1", "-2"]


def test_a_coroutine_is_run_to_its_end(load: Load) -> None:
    world = load(
        "import asyncio\n"
        "async def on_mail(event):\n"
        "  await asyncio.sleep(0)\n"
        "  messageLog(event['subject'])\n"
        "  raise OSError('late')"
    )
    assert world.fire("v") == [(5, "OSError: late")]
    assert world.logged == ["-v"]


@pytest.mark.parametrize(
    ("code", "line", "message", "fatal"),
    [
        ("1 / 0", 3, "ZeroDivisionError: division by zero", False),
        ("missing()", 3, "NameError: name 'missing' is not defined", False),
        ("import json; json.loads('{')", 3, None, False),
        ("helper()", 6, "KeyError: 'x'", False),
        ("exit(3)", 3, "SystemExit: 3", False),
        ("raise KeyboardInterrupt", 3, "KeyboardInterrupt", False),
        ("raise MemoryError", 3, "MemoryError", True),
        ("compile('(', 'other', 'exec')", 3, "SyntaxError: '(' was never closed (other, line 1)", False),
        ("IOEvent(name, value)", 3, "RecursionError: maximum recursion depth exceeded", False),
    ],
)
def test_exceptions_have_line_and_message(
    load: Load, code: str, line: int, message: str | None, fatal: bool
) -> None:
    world = load(f"def IOEvent(name, value):\n\n  {code}\n\ndef helper():\n  {{}}['x']\n")
    [handler] = world.script.handlers
    with pytest.raises(Fault) as caught:
        handler.call(Trigger(IO, "k", "v", active=True))
    assert caught.value.line == line
    assert message is None or caught.value.message == message
    assert caught.value.fatal is fatal


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("\ndef f(:\n", 2, "SyntaxError: invalid syntax"),
        ("if x:\n", 1, "IndentationError: expected an indented block after 'if' statement on line 1"),
        ("a = 1\nmissing", 2, "NameError: name 'missing' is not defined"),
        ("import sys\nsys.exit()", 2, "SystemExit"),
    ],
)
def test_a_file_that_cannot_be_loaded(load: Load, source: str, line: int | None, message: str) -> None:
    with pytest.raises(Fault) as caught:
        load(source)
    assert (caught.value.line, caught.value.message) == (line, message)


def test_names_that_are_nowhere(load: Load) -> None:
    world = load(
        """import os, os.path as p, json as j
from sys import path as where, argv
def IOEvent(name, value=1, *rest, **more):
    if __run == 1:
        mesageLog(name, value, rest, more, p, j, where, argv, os, print, messageLog, __file__)
    for i in []: i
    with open(name) as f: f
    try: pass
    except OSError as e: e
    match name:
        case [first, *others]: first, others
        case {"a": a, **kept}: a, kept
        case str() as s: s
    (lambda x: x)(1); [y for y in []]; (z := 1) + z
    global late
    late = 1
class A: attribute = 1
def other(): return lat + late
"""
    )
    assert world.script.undefined() == {"mesageLog": 5, "lat": 18}


def test_modules_beside_the_script_can_be_imported_and_hide_none(load: Load) -> None:
    load("")
    assert sys.path[-1] == "/nowhere"
    assert MODULE in sys.modules
