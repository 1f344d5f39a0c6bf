"""Examination: what `mailbell check` and every save report."""

from pathlib import Path

import pytest

from mailbell.scripting.state import IoState
from mailbell.scripting.version import Limits, check_script, examine
from tests.scripting.conftest import Write

LIMITS = Limits()


async def problems(path: Path, limits: Limits = LIMITS) -> list[str]:
    found = await examine(path, limits, IoState())
    return [problem.replace(f"{path.parent}/", "") for problem in found.problems]


def test_check_tells_all_problems_with_file_and_line(write: Write) -> None:
    path = write(
        "events.txt",
        """function IOEvent(name, value) : {
  if (__run == 1) mesageLog(name)
}
INIT : { x = undefinedFunction() }
TIME : { }
IO smtp.mail : { var = 1 }
IO smtp.mail : { messageLog(JSON.parse(triggerValue).xAlarm.length) }
""",
    )
    assert check_script(path) == [
        f"{path}:2: mesageLog is not defined",
        f"{path}:4: ReferenceError: undefinedFunction is not defined",
        f"{path}:5: the event TIME is not supported; there are IO, IOSTART, INIT, HSYCOSTART, HAACTIVE",
        f"{path}:6: SyntaxError: variable name expected",
        f"{path}:7: TypeError: cannot read property 'length' of undefined",
    ]


async def test_what_calls_an_undefined_function_is_left_out_and_other_exceptions_are_not(
    write: Write,
) -> None:
    path = write(
        "s.txt",
        "IO a : { nowhere() }\nIO b : { null.x }\nINIT : { function helper() { } }\nIO c : { helper() }\n",
    )
    found = await examine(path, LIMITS, IoState())
    assert found.handlers == {
        "the rule at line 2": True,
        "the rule at line 3": False,
        "the rule at line 4": True,
    }
    assert found.usable


async def test_what_is_defined_only_when_it_is_real_is_left_in(write: Write) -> None:
    path = write(
        "s.js",
        "function StartupEvent() { count = 0 }\n"
        "function IOEvent() { count++; if (__run) late = 1; else late.x }\n"
        "function haActiveEvent() { if (__run) later = f; else later() }\nfunction f() {}",
    )
    found = await examine(path, LIMITS, IoState())
    assert [problem.rpartition("/")[2] for problem in found.problems] == [
        "s.js:2: ReferenceError: late is not defined",
        "s.js:3: ReferenceError: later is not defined",
    ]
    assert list(found.handlers) == ["IOEvent", "haActiveEvent", "StartupEvent"]


async def test_all_that_call_an_undefined_function_are_left_out(write: Write) -> None:
    path = write("s.txt", "IO a : { nowhere() }\nIO b : { nowhere(1) }\nIO c : { }")
    found = await examine(path, LIMITS, IoState())
    assert list(found.handlers) == ["the rule at line 3"]


async def test_the_test_run_is_told_by_run_and_has_no_effects(write: Write) -> None:
    path = write(
        "s.js",
        """
        varSet("loaded", "x")
        function IOEvent(name, value) {
          if (__run !== 0 || varGet("loaded") !== null) throw new Error("effects")
          if (triggerKey !== name || triggerValue !== value || ioGet(name) !== value) throw "trigger"
          if (name !== "smtp.mail" || JSON.parse(value).subject !== "Motion detected") throw "sample"
          if (varGet("door") !== "open") throw new Error("state")
        }
        function haActiveEvent(active) { if (active !== true) throw new Error("active") }
        """,
    )
    state = IoState()
    state.set_variable("door", "open")
    found = await examine(path, LIMITS, state)
    assert found.problems == ()
    assert found.handlers == {"IOEvent": True, "haActiveEvent": False}
    assert state.variable("loaded") is None


async def test_python_gets_the_whole_event(write: Write) -> None:
    path = write(
        "s.py",
        "def on_mail(event):\n"
        "  assert event['schema'] == 'mailbell.event/1'\n"
        "  assert event['from']['address'] == 'camera1@cameras.example'\n"
        "  assert event['envelope']['rcpt_to'] == ['alarms@example.com']\n"
        "  assert event['attachments'][0]['detected_type'] == 'image/jpeg'\n",
    )
    assert await problems(path) == []


HANGS = "in the test-run, the script ran longer than 0.5 s and was killed"
EMPTY = "nothing in it handles mail: no IOEvent, no on_mail and no rule IO …"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("s.js", "\nvar = 1", "s.js:2: SyntaxError: variable name expected"),
        ("s.py", "def f(:", "s.py:1: SyntaxError: invalid syntax"),
        ("s.js", "for (;;);", f"s.js: {HANGS}"),
        (
            "s.py",
            "def IOEvent(a, b):\n  while 1: 1",
            f"s.py: {HANGS}",
        ),
        (
            "s.py",
            "import os\nos._exit(4)",
            "s.py: in the test-run, the script ended its process with exit status 4",
        ),
        ("s.js", "", f"s.js: {EMPTY}"),
        (
            "s.js",
            "function ioEvent() { }",
            f"s.js: {EMPTY}",
        ),
        ("s.js", "function IOEvent() {\n  nowhere() }", "s.js:2: ReferenceError: nowhere is not defined"),
        ("s.js", "a\0b", "s.js: not the text of a script; save it as UTF-8"),
        ("s.js", " " * (4 * 2**20 + 1), "s.js: larger than 4 MiB: is it a script?"),
        (
            "s.txt",
            "x" * 2**21,
            f"s.txt:1: event : {{ … }} or function name(…) : {{ … }} expected, got {'x' * 40}",
        ),
        ("s.js", "{" * 5000 + "}" * 5000, "s.js: RangeError: Maximum call stack size exceeded"),
        ("s.lua", "", "s.lua: a script's name ends in .js, .py, .txt"),
    ],
)
async def test_a_file_of_which_nothing_can_be_used(write: Write, name: str, text: str, problem: str) -> None:
    path = write(name, text)
    found = await examine(path, Limits(test=0.5 if HANGS in problem else 20), IoState())
    assert not found.usable
    assert [each.replace(f"{path.parent}/", "") for each in found.problems] == [problem]


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert await problems(tmp_path / "s.js") == ["s.js: can't be read: No such file or directory"]
    assert await problems(tmp_path.with_suffix(".js")) != []


async def test_a_script_that_is_not_about_mail_is_fine(write: Write) -> None:
    found = await examine(write("s.js", "function StartupEvent() { }"), LIMITS, IoState())
    assert found.usable
    assert found.problems == ()


async def test_files_of_old_editors(tmp_path: Path) -> None:
    (tmp_path / "s.js").write_bytes("\ufefffunction IOEvent() {\r\n  nowhere('ü')\r\n}".encode())
    assert await problems(tmp_path / "s.js") == ["s.js:2: ReferenceError: nowhere is not defined"]
    (tmp_path / "s.py").write_bytes("# ü\rdef IOEvent(a, b):\r  nowhere('ü')\r".encode("latin-1"))
    assert await problems(tmp_path / "s.py") == ["s.py:3: NameError: name 'nowhere' is not defined"]
