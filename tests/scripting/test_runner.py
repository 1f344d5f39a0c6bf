"""A script from load to stop, in real processes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from mailbell.clock import steady
from mailbell.errors import ScriptDied, ScriptError
from mailbell.event.convert import ConvertOptions, convert
from mailbell.event.sample import sample
from mailbell.scripting import runner as runner_module
from mailbell.scripting.runner import ScriptRunner
from mailbell.scripting.script import HAACTIVE, HSYCOSTART, IO, IOSTART
from mailbell.scripting.state import IoState
from mailbell.scripting.version import Limits
from tests.scripting.conftest import Lines, Write

MEMORY = 64 * 2**20

Start = Callable[..., AbstractAsyncContextManager[ScriptRunner]]


@pytest.fixture
def start(log: Lines) -> Start:
    """Run a script with short limits."""

    @asynccontextmanager
    async def running(
        path: Path, state: IoState | None = None, limit: float = 10.0
    ) -> AsyncIterator[ScriptRunner]:
        runner = ScriptRunner(path, state or IoState(), log.logger, Limits(limit, MEMORY))
        await runner.start()
        try:
            yield runner
        finally:
            await runner.stop()

    return running


async def test_events_and_triggers(write: Write, start: Start, log: Lines) -> None:
    path = write(
        "s.txt",
        """INIT : { messageLog("init " + __run) }
HSYCOSTART : { messageLog("start") }
IOSTART smtp : { messageLog("io start " + triggerKey) }
HAACTIVE : { messageLog("active") }
function StartupEvent() : { messageLog("startup event") }
function haActiveEvent(active) : { messageLog("ha " + active + haActive()) }
function IOEvent(name, value) : { messageLog(name + value) }
""",
    )
    state = IoState()
    async with start(path, state) as runner:
        await runner.fire(HSYCOSTART, HSYCOSTART)
        await runner.fire(IOSTART, "smtp")
        await runner.fire(IOSTART, "other")
        await runner.fire(IO, "smtp.mail", "1")
        for active in (False, True):
            state.active = active
            await runner.fire(HAACTIVE, HAACTIVE)
    assert log.all == [
        "- init 1",
        "- start",
        "- startup event",
        "- io start smtp",
        "- smtp.mail1",
        "- ha falsefalse",
        "- active",
        "- ha truetrue",
    ]


async def test_events_come_in_order_and_one_at_a_time(write: Write, start: Start, log: Lines) -> None:
    path = write("s.js", "busy = 0\nfunction IOEvent(n, v) { if (busy++) throw 1; messageLog(v); busy-- }")
    async with start(path) as runner:
        await asyncio.gather(*(runner.fire(IO, "k", str(number)) for number in range(200)))
    assert log.all == [f"- {number}" for number in range(200)]


async def handed_over(runner: ScriptRunner) -> None:
    """Wait until the process has all that was called."""
    await asyncio.sleep(0)  # the calls themselves
    async with asyncio.timeout(5):
        while runner._calls:  # noqa: ASYNC110
            await asyncio.sleep(0)


SLEEPER = "import time\ndef IOEvent(n, v):\n  if __run: time.sleep(float(v)); messageLog(v)"

DEADLY = {
    "ends its process": "os._exit(3)",
    "hangs": "time.sleep(60)",
    "takes all memory": "bytearray(2**30)",
}


@pytest.mark.parametrize("code", DEADLY.values(), ids=DEADLY)
async def test_what_kills_the_process_takes_none_of_those_behind_it_along(
    code: str, write: Write, start: Start, log: Lines
) -> None:
    path = write(
        "s.py",
        f"import os, time\ndef IOEvent(n, v):\n  if v in '48': {code}\n  messageLog(v); varSet('n', v)",
    )
    state = IoState()
    async with start(path, state, limit=0.5) as runner:
        await runner.fire(IO, "k", "0")  # it is quick: the next ones are handed over ahead
        ends = await asyncio.gather(
            *(runner.fire(IO, "k", str(number)) for number in range(1, 12)), return_exceptions=True
        )
    died = [number for number, end in enumerate(ends, 1) if isinstance(end, ScriptDied)]
    assert died == [4, 8]
    assert [end for end in ends if end is not None] == [ends[3], ends[7]]
    assert [line for line in log.all if line[0] == "-"] == [
        f"- {number}" for number in range(12) if number not in died
    ], "each once, in order"
    assert state.variable("n") == "11"


async def test_what_is_handed_over_ahead_has_its_own_time(write: Write, start: Start, log: Lines) -> None:
    path = write("s.py", SLEEPER)
    async with start(path, limit=0.5) as runner:
        await runner.fire(IO, "k", "0")
        await asyncio.gather(*(runner.fire(IO, "k", each) for each in ("0.3", "0.2", "0.1", "0")))
    assert log.all == ["- 0", "- 0.3", "- 0.2", "- 0.1", "- 0"]


async def test_what_others_set_is_heard_in_order_also_by_a_quick_script(
    write: Write, start: Start, log: Lines
) -> None:
    state = IoState()
    path = write("s.js", "function IOEvent(n, v) { varSet('x', varGet('x') + v); messageLog(varGet('x')) }")
    async with start(path, state) as runner:
        state.set_variable("x", "a")
        await runner.fire(IO, "k", "1")
        first = asyncio.ensure_future(runner.fire(IO, "k", "2"))
        await handed_over(runner)
        state.set_variable("x", "b")
        await asyncio.gather(first, runner.fire(IO, "k", "3"), runner.fire(IO, "k", "4"))
        assert state.variable("x") == log.all[-1].removeprefix("- "), "all see the same"
    assert log.all == ["- a1", "- a12", "- a123", "- a1234"]


async def test_an_event_that_came_too_late_for_its_lease_is_for_whoever_has_it(
    write: Write, start: Start, log: Lines
) -> None:
    state = IoState()
    path = write("s.py", SLEEPER)
    async with start(path, state) as runner:
        await runner.fire(IO, "k", "0")
        until = steady() + 0.2
        state.until = lambda: until
        slow, ahead = (asyncio.ensure_future(runner.fire(IO, "k", each)) for each in ("0.4", "0.01"))
        await handed_over(runner)
        state.until = lambda: steady() + 60  # the lease is renewed meanwhile
        await asyncio.gather(slow, ahead)
        until = steady() + 0.2
        state.until = lambda: until
        slow, ahead = (asyncio.ensure_future(runner.fire(IO, "k", each)) for each in ("0.3", "0.02"))
        await slow
        with pytest.raises(ScriptDied, match="no longer the active one"):
            await ahead
    assert log.all == ["- 0", "- 0.4", "- 0.01", "- 0.3"]


async def test_what_a_script_has_set_is_known_before_it_hears_of_others(
    write: Write, start: Start, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = IoState()
    path = write("s.js", "function IOEvent(n, v) { if (v) varSet('x', v); messageLog(varGet('x')) }")
    async with start(path, state) as runner:
        process = runner._process
        assert process is not None
        take = process._take
        called: list[asyncio.Future[None]] = []

        def answered(message: object) -> None:
            """In the turn of the loop in which the answer comes, another one sets it and calls."""
            if isinstance(message, dict):
                state.set_variable("x", "another's")
                asyncio.get_running_loop().call_soon(hand_over)
            take(message)

        def hand_over() -> None:
            monkeypatch.setattr(process, "_take", take)
            done = asyncio.get_running_loop().create_future()
            called.append(done)
            runner._call(process, runner_module.Call(99, IO, "k", "", None, done))

        await runner.fire(IO, "k")
        monkeypatch.setattr(process, "_take", answered)
        await runner.fire(IO, "k", "mine")
        await called[0]
        await runner.fire(IO, "k")
    assert log.all[-1] == f"- {state.variable('x')}"


async def test_a_fork_does_not_do_what_the_host_has_at_hand(write: Write, start: Start, log: Lines) -> None:
    path = write(
        "s.py",
        """import os, sys, time
def IOEvent(n, v):
  if __run:
    if v == 'wait': time.sleep(0.2)
    with open(os.path.join(os.path.dirname(__file__), 'done'), 'a') as file: print(v, file=file)
    if v == 'fork':
      child = os.fork()
      if not child: sys.exit()
      os.waitpid(child, 0)
""",
    )
    async with start(path) as runner:
        await asyncio.gather(*(runner.fire(IO, "k", each) for each in ("wait", "fork", "1", "2")))
    assert (path.parent / "done").read_text().split() == ["wait", "fork", "1", "2"]


async def test_a_mail_that_waits_for_a_reload_comes_with_what_the_new_version_takes(
    write: Write, start: Start, log: Lines
) -> None:
    path = write("s.py", "import time\ndef IOEvent(n, v):\n  if __run: time.sleep(0.06)")
    item = convert(sample(), ConvertOptions())
    async with start(path) as runner:
        await runner.mail(item)
        write("s.py", "def on_mail(event): messageLog(event['id'])")
        calls: list[asyncio.Future[None]] = []
        while not any("reloaded" in line for line in log.all):
            calls += [asyncio.ensure_future(runner.mail(item)) for _ in range(3)]
            await asyncio.wait([calls[-3]])
        await asyncio.gather(*calls)
    assert [line for line in log.all if line.startswith("+")] == []
    assert log.all[-1].startswith("- ")


async def test_whoever_has_called_a_script_that_is_stopped_is_told(
    write: Write, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailbell.scripting.process.GRACE", 0.05)
    path = write("s.py", "import time\ndef IOEvent(n, v):\n  if __run: time.sleep(60)")
    async with start(path) as runner:
        calls = [asyncio.ensure_future(runner.fire(IO, "k")) for _ in range(4)]
        await handed_over(runner)
    async with asyncio.timeout(3):
        ends = await asyncio.gather(*calls, runner.fire(IO, "k"), return_exceptions=True)
    assert [type(each) for each in ends] == [ScriptDied] * 5


@pytest.mark.parametrize(
    "forged", ['{"problems": [], "handlers": []}', '{"variables": {"a": 5}, "fatal": null}']
)
async def test_a_forged_answer_leaves_nobody_waiting(write: Write, start: Start, forged: str) -> None:
    path = write(
        "s.py",
        f"""import os, time
def IOEvent(n, v):
  if __run:
    for fd in range(3, 20):
      try: os.write(fd, {(forged + chr(10)).encode()!r})
      except OSError: pass
    time.sleep(60)
""",
    )
    async with start(path) as runner, asyncio.timeout(5):
        with pytest.raises(ScriptDied, match="wrote into the channel of its host"):
            await runner.fire(IO, "k")


async def test_an_event_of_the_system_is_also_for_who_is_not_the_active_one(
    write: Write, start: Start, log: Lines
) -> None:
    state = IoState()
    state.until = lambda: steady() - 1
    path = write(
        "s.py",
        """import os
def haActiveEvent(active):
  if __run: os._exit(1)
def StartupEvent(): messageLog('started')
def IOEvent(n, v): pass
""",
    )
    async with start(path, state) as runner:
        died, started = (asyncio.ensure_future(runner.fire(each, each)) for each in (HAACTIVE, HSYCOSTART))
        with pytest.raises(ScriptDied, match="exit status 1"):
            await died
        await started
    assert log.all[-1] == "- started"


async def test_scripts_share_variables_and_data_points(write: Write, start: Start, log: Lines) -> None:
    state = IoState()
    writer = write(
        "a.js", "function IOEvent(n, v) { varSet('last', v); varSet('n', Number(varGet('n')) + 1) }"
    )
    reader = write(
        "b.py", "def IOEvent(n, v): messageLog([varGet('last'), varGet('n'), ioGet('k'), ioGet('j')])"
    )
    async with start(writer, state) as a, start(reader, state) as b:
        state.set_io("k", "kv")
        for value in ("1", "2"):
            await a.fire(IO, "j", value)
            state.set_io("j", value)
            await b.fire(IO, "j", value)
        state.set_variable("last", None)
        await b.fire(IO, "j", "2")
    assert (state.variable("last"), state.variable("n")) == (None, "2")
    assert log.all == ["- ['1', '1', 'kv', '1']", "- ['2', '2', 'kv', '2']", "- [None, '2', 'kv', '2']"]


async def test_a_script_loads_with_what_the_others_have_set(write: Write, start: Start, log: Lines) -> None:
    state = IoState()
    state.set_variable("door", "open")
    state.set_io("k", "1")
    path = write(
        "s.js", "messageLog(varGet('door') + ioGet('k')); varSet('loaded', 1)\nfunction IOEvent() { }"
    )
    async with start(path, state):
        assert log.all == ["- open1"]
        assert state.variable("loaded") == "1"


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("s.js", "function IOEvent(n, v) {\n  if (__run) throw new Error(v)\n}", "s.js:2: Error: x"),
        (
            "s.txt",
            "\nfunction IOEvent(n, v) : {\n  if (__run) null[v]\n}",
            "s.txt:3: TypeError: cannot read property 'x' of null",
        ),
        ("s.py", "def IOEvent(n, v):\n  if __run: raise OSError(v)", "s.py:2: OSError: x"),
    ],
)
async def test_an_exception_is_logged_and_the_event_is_done(
    write: Write, start: Start, log: Lines, name: str, text: str, line: str
) -> None:
    path = write(name, text)
    async with start(path) as runner:
        await runner.fire(IO, "k", "x")
        process = runner._process
        await runner.fire(IO, "k", "x")
        assert runner._process is process
    assert log.all == [f"+ {path.parent}/{line}"] * 2


GOOD_OR_BAD = {
    "js": """n = 0
function IOEvent(name, value) {
  if (value == 'bad') EVENT
  messageLog(value + ++n)
}""",
    "py": """n = 0
def IOEvent(name, value):
  global n
  if value == 'bad': EVENT
  n += 1
  messageLog(value + str(n))
""",
}
HANG = {"js": "for (;;);", "py": "\n    while True: pass"}
SWELL = {
    "js": "for (a = [];;) a.push(new Array(1000).fill(1))",
    "py": "\n    a = []\n    while True: a.append(bytearray(100_000))",
}


@pytest.mark.parametrize("language", ["js", "py"])
@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (HANG, "k: the script ran longer than 0.5 s and was killed"),
        (SWELL, "k: the script was ended: "),
    ],
    ids=["hangs", "swells"],
)
async def test_a_script_that_hangs_or_swells_costs_its_process(
    write: Write, start: Start, log: Lines, language: str, event: dict[str, str], reason: str
) -> None:
    path = write(f"s.{language}", GOOD_OR_BAD[language].replace("EVENT", event[language]))
    async with start(path, limit=0.5 if event is HANG else 20) as runner:
        await runner.fire(IO, "k", "good")
        with pytest.raises(ScriptDied, match=reason):
            await runner.fire(IO, "k", "bad")
        await runner.fire(IO, "k", "good")
    assert [line for line in log.all if line.startswith("-")] == ["- good1", "- good1"]
    assert any(line.startswith(f"+ {path}: {reason}") for line in log.all)


async def test_what_was_said_before_a_hang_is_in_the_log(write: Write, start: Start, log: Lines) -> None:
    path = write(
        "s.js", "function IOEvent() { if (__run) { messageLog('last words'); varSet('a', 1); for (;;); } }"
    )
    state = IoState()
    async with start(path, state, limit=0.5) as runner:
        with pytest.raises(ScriptDied):
            await runner.fire(IO, "k")
    assert log.all[0] == "- last words"
    assert state.variable("a") is None


async def test_a_script_that_kills_its_process_is_started_again_later_and_later(
    write: Write, start: Start, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "RESTART_DELAYS", (0.0, 0.1, 0.2))
    path = write("s.py", "import os\ndef IOEvent(n, v):\n  if v == 'bad': os._exit(3)\n  messageLog(v)")
    async with start(path) as runner:
        began = time.monotonic()
        for _ in range(4):
            with pytest.raises(ScriptDied, match="k: the script ended its process with exit status 3"):
                await runner.fire(IO, "k", "bad")
        assert time.monotonic() - began >= 0.3
        await runner.fire(IO, "k", "good")
        assert log.all[-1] == "- good"
        assert runner._deaths == 0


async def test_a_process_that_ends_between_two_events_is_started_again(
    write: Write, start: Start, log: Lines
) -> None:
    code = """import os, threading
def IOEvent(n, v):
  messageLog(v)
  if v == 'bad': threading.Timer(0.05, os._exit, (3,)).start()
"""
    path = write("s.py", code)
    async with start(path) as runner:
        await runner.fire(IO, "k", "bad")
        assert runner._process is not None
        await runner._process.ended.wait()
        await runner.fire(IO, "k", "good")
    assert log.all == [
        "- bad",
        f"+ {path}: between two events, the script ended its process with exit status 3",
        "- good",
    ]


async def test_a_cancelled_event_does_not_hurt_the_next_one(write: Write, start: Start, log: Lines) -> None:
    path = write("s.js", "function IOEvent(n, v) { if (v == 'bad') for (;;); messageLog(v) }")
    async with start(path, limit=60) as runner:
        firing = asyncio.ensure_future(runner.fire(IO, "k", "bad"))
        await asyncio.sleep(0.05)
        firing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await firing
        await runner.fire(IO, "k", "good")
    assert log.all[-1] == "- good"


async def test_a_save_takes_effect_between_two_events(write: Write, start: Start, log: Lines) -> None:
    slow = "end = Date.now() + 400; while (__run && Date.now() < end); messageLog('old')"
    path = write("s.js", f"function IOEvent(n, v) {{ {slow} }}")
    async with start(path) as runner:
        firing = asyncio.ensure_future(runner.fire(IO, "k", "1"))
        await asyncio.sleep(0.05)
        write("s.js", "function IOEvent(n, v) { messageLog('new') }")
        waiting = asyncio.ensure_future(runner.fire(IO, "k", "2"))
        await firing
        await waiting
        await log.appears("reloaded")
        await runner.fire(IO, "k", "3")
    assert log.all[0] == "- old"
    assert log.all[-1] == "- new"
    assert [line for line in log.all if line.startswith("+")] == []


async def test_reloads_and_events_at_once_lose_nothing(write: Write, start: Start, log: Lines) -> None:
    text = "function IOEvent(n, v) {{ messageLog('{0} ' + v) }}"
    path = write("s.js", text.format(0))
    async with start(path) as runner:

        async def save() -> None:
            for version in range(1, 4):
                write("s.js", text.format(version))
                await log.appears(f"- {version} ")

        saving = asyncio.ensure_future(save())
        count = 0
        while not saving.done():
            await runner.fire(IO, "k", str(count))
            count += 1
        await saving
    events = [line.split() for line in log.all if "reloaded" not in line]
    assert [int(value) for _, _, value in events] == list(range(count))
    assert [version for _, version, _ in events] == sorted(version for _, version, _ in events)


async def test_globals_last_until_the_reload_and_init_is_fired(
    write: Write, start: Start, log: Lines
) -> None:
    text = "INIT : { var n = 0 }\nIO k : { messageLog(++n) }"
    path = write("s.txt", text)
    async with start(path) as runner:
        await runner.fire(IO, "k")
        await runner.fire(IO, "k")
        write("s.txt", text)
        await log.appears("reloaded")
        await runner.fire(IO, "k")
    assert [line for line in log.all if "reloaded" not in line] == ["- 1", "- 2", "- 1"]


async def test_a_file_in_error_leaves_the_last_good_version_running(
    write: Write, start: Start, log: Lines
) -> None:
    path = write("s.js", "function IOEvent(n, v) { messageLog(v) }")
    async with start(path) as runner:
        write("s.js", "function IOEvent(n, v) {\n  messageLog('new'\n}")
        await log.appears("s.js:3: SyntaxError")
        await log.appears("set aside; the version before runs on")
        await runner.fire(IO, "k", "1")
        write("s.js", "")
        await log.appears("nothing in it handles mail")
        await runner.fire(IO, "k", "2")
        path.unlink()
        await log.appears("the file is gone")
        await runner.fire(IO, "k", "3")
        write("s.js", "function IOEvent(n, v) { messageLog('new ' + v) }")
        await log.appears("reloaded")
        await runner.fire(IO, "k", "4")
    assert [line for line in log.all if line.startswith("-")] == [
        "- 1",
        "- 2",
        "- 3",
        f"- {path}: reloaded",
        "- new 4",
    ]


async def test_a_unit_in_error_is_left_out_of_what_runs(write: Write, start: Start, log: Lines) -> None:
    path = write("s.txt", "IO k : { nowhere() }\nIO k : { messageLog('fine') }\nIO k : { var = 1 }\n")
    async with start(path) as runner:
        await runner.fire(IO, "k")
    assert log.all == [
        f"+ {path}:1: ReferenceError: nowhere is not defined",
        f"+ {path}:3: SyntaxError: variable name expected",
        "- fine",
    ]


async def test_a_save_that_fails_only_when_it_is_real_is_set_aside(
    write: Write, start: Start, log: Lines
) -> None:
    path = write("s.js", "function IOEvent(n, v) { messageLog(v) }")
    async with start(path) as runner:
        write("s.js", "if (__run) throw new Error('real')\nfunction IOEvent(n, v) { }")
        await log.appears("while loading, the script failed: ")
        await runner.fire(IO, "k", "1")
        write("s.txt", "")
    assert f"{path}:1: Error: real; set aside" in log.all[0]
    assert log.all[-1] == "- 1"


async def test_a_script_that_cannot_be_used_is_waited_for(write: Write, log: Lines) -> None:
    path = write("s.js", "function IOEvent(")
    runner = ScriptRunner(path, IoState(), log.logger, Limits())
    try:
        with pytest.raises(ScriptError, match=r"s.js:1: SyntaxError: .*; correct it and save the file"):
            await runner.start()
        starting = asyncio.ensure_future(runner.start())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(starting), 0.2)
        write("s.js", "function IOEvent(n, v) { messageLog(v) }")
        await asyncio.wait_for(starting, 10)
        await runner.fire(IO, "k", "up")
    finally:
        await runner.stop()
    assert log.all == ["- up"]


async def test_stop_without_start(write: Write, log: Lines) -> None:
    await ScriptRunner(write("s.js", ""), IoState(), log.logger, Limits()).stop()


async def test_variables_that_find_no_room_are_told(
    write: Write, start: Start, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailbell.scripting.state.MOST_CHARACTERS", 100)
    path = write("s.js", "function IOEvent(n, v) { varSet(v, 'x'.repeat(60)) }")
    async with start(path) as runner:
        await runner.fire(IO, "k", "a")
        await runner.fire(IO, "k", "b")
    assert log.all == [f"+ {path}: varSet: no more room for b"]
