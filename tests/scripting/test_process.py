"""The process of a script, asked with raw messages."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mailbell.errors import NotBegun, ScriptDied
from mailbell.scripting import process as process_module
from mailbell.scripting.process import ScriptProcess
from mailbell.scripting.version import Limits, encode, load_request
from tests.conftest import BOTH_LOOPS

FIRE = encode({"do": "fire", "kind": "IO", "key": "k", "value": "v", "active": True})


@asynccontextmanager
async def python(
    source: str, log: Callable[[int, str], None] = lambda *_: None
) -> AsyncIterator[ScriptProcess]:
    """A process with a Python script that has been loaded."""
    process = await ScriptProcess.start(log)
    try:
        request = load_request(Path("s.py"), source, Limits()) | {"active": True}
        assert (await process.ask(encode(request), 10))["problems"] == []
        yield process
    finally:
        await process.close()


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> None:
    """Wait for the end of a process that is not our child: the kernel tells nobody."""
    async with asyncio.timeout(5):
        while alive(pid):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@BOTH_LOOPS
async def test_a_question_and_its_answer() -> None:
    logged: list[Any] = []
    async with python(
        "def IOEvent(n, v): messageLog(n + v); varSet(n, v)", lambda *each: logged.append(each)
    ) as process:
        assert await process.ask(FIRE, 5) == {"variables": {"k": "v"}, "fatal": None}
        assert logged == [(0, "kv")]
    assert process.reason == "ended its process with exit status 0"


@BOTH_LOOPS
async def test_several_questions_are_answered_in_order() -> None:
    logged: list[str] = []
    async with python(
        "def IOEvent(n, v): messageLog(v); varSet('k', v)", lambda _, text: logged.append(text)
    ) as process:
        asked = [process.send(FIRE.replace(b'"v"', b'"%d"' % number), 5) for number in range(100)]
        assert process.busy
        assert [(await each)["variables"]["k"] for each in asked] == [str(number) for number in range(100)]
        await process.idle()
    assert logged == [str(number) for number in range(100)]


@BOTH_LOOPS
async def test_what_was_answered_before_a_write_failed_counts() -> None:
    code = "import os\ndef IOEvent(n, v): v == '2' and os._exit(1)"
    async with python(code) as process:
        asked = [process.send(FIRE.replace(b'"v"', b'"%d"' % number), 5) for number in (1, 2)]
        await asyncio.sleep(0)
        os.waitid(os.P_PID, process._popen.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222  a busy loop
        asked.append(process.send(FIRE, 5))
        ends = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in ends] == [dict, ScriptDied, NotBegun]


@BOTH_LOOPS
async def test_nothing_is_sent_to_a_process_whose_connection_is_over() -> None:
    async with python("def IOEvent(n, v): pass") as process:
        process._popen.kill()
        process._transport.close()
        with pytest.raises(NotBegun):
            process.send(FIRE, 5)


async def test_who_waits_behind_the_last_answer_does_not_wait_for_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process_module, "GRACE", 0.05)
    code = """import threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
def IOEvent(n, v): raise MemoryError
"""
    async with python(code) as process:
        asked = [process.send(FIRE, 5) for _ in range(3)]
        async with asyncio.timeout(3):
            await process.idle()
        ends = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in ends] == [dict, NotBegun, NotBegun]


async def test_an_answer_after_the_kill_clears_those_behind_it() -> None:
    code = "import time\ndef IOEvent(n, v): v == '2' and time.sleep(60)"
    async with python(code) as process:
        asked = [process.send(FIRE.replace(b'"v"', b'"%d"' % number), 5) for number in (1, 2, 3)]
        process.reason = "was late"  # as `kill` sets it, while the answer is on its way
        await asked[0]
        process._popen.kill()
        ends = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in ends] == [dict, NotBegun, NotBegun]


async def test_only_the_first_of_several_can_be_what_ended_it() -> None:
    async with python("import os\ndef IOEvent(n, v): v == '3' and os._exit(1)") as process:
        asked = [process.send(FIRE.replace(b'"v"', b'"%d"' % number), 5) for number in range(1, 6)]
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in ends] == [dict, dict, ScriptDied, NotBegun, NotBegun]
        await process.idle()
        with pytest.raises(NotBegun):
            await process.ask(FIRE, 5)


async def test_an_answer_that_nobody_has_asked_for_ends_it() -> None:
    async with python("import os\ndef IOEvent(n, v): pass") as process:
        process.data_received(b'{"variables": {}, "fatal": null}\n')
        assert str(process.reason).startswith("wrote into the channel of its host")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os._exit(3)", "ended its process with exit status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was ended by SIGKILL"),
        ("import os, signal; os.kill(0, signal.SIGTERM)", "was ended by SIGTERM"),
        ("import ctypes; ctypes.string_at(0)", "was ended by SIGSEGV"),
        ("while True: pass", "ran longer than 0.3 s and was killed"),
        ("import time; time.sleep(60)", "ran longer than 0.3 s and was killed"),
        (
            "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()",
            "ran longer than 0.3 s and was killed",
        ),
        (
            "import resource, signal; signal.raise_signal(signal.SIGXCPU)",
            "used more processor time than a call may take",
        ),
    ],
)
async def test_a_script_that_ends_its_process(code: str, reason: str) -> None:
    async with python(f"def IOEvent(n, v):\n  {code}") as process:
        with pytest.raises(ScriptDied, match=f"^{reason}$"):
            await process.ask(FIRE, 0.3)
        assert process.ended.is_set()
        with pytest.raises(ScriptDied, match=reason):
            await process.ask(FIRE, 0.3)


async def test_what_the_script_has_started_ends_with_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""import os, subprocess, time
def IOEvent(n, v):
    pids = [subprocess.Popen(["sleep", "60"]).pid]
    if not (child := os.fork()):
        time.sleep(60)
    open({str(pids)!r}, "w").write(f"{{pids[0]}} {{child}}")
    while True: pass
"""
    async with python(code) as process:
        with pytest.raises(ScriptDied):
            await process.ask(FIRE, 0.5)
    for pid in pids.read_text().split():
        await gone(int(pid))


async def test_a_fork_bomb_is_contained() -> None:
    bomb = """import os
def IOEvent(n, v):
    for _ in range(5): os.fork()
    while True: pass
"""
    async with python(bomb) as process:
        group = process._popen.pid
        with pytest.raises(ScriptDied):
            await process.ask(FIRE, 0.3)
    async with asyncio.timeout(5):
        while any(_group(path) == group for path in Path("/proc").glob("[0-9]*/stat")):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _group(stat: Path) -> int | None:
    try:
        state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return None
    return None if state in "ZX" else int(group)


async def test_a_fork_that_returns_is_no_second_host() -> None:
    code = "import os\ndef IOEvent(n, v):\n  child = os.fork()\n  messageLog(f'fork {child > 0}')"
    logged: list[Any] = []
    async with python(code, lambda *each: logged.append(each)) as process:
        for _ in range(3):
            assert (await process.ask(FIRE, 5))["fatal"] is None
    assert logged == [(0, "fork True")] * 3


async def test_an_answer_that_the_loop_was_too_late_to_read_is_taken() -> None:
    async with python("def IOEvent(n, v): pass") as process:
        for _ in range(3):
            asking = asyncio.ensure_future(process.ask(FIRE, 0.1))
            await asyncio.sleep(0)
            time.sleep(0.3)  # noqa: ASYNC251  the loop is kept from running
            assert await asking == {"variables": {}, "fatal": None}


async def test_cancelling_kills() -> None:
    async with python("def IOEvent(n, v):\n  while True: pass") as process:
        asking = asyncio.ensure_future(process.ask(FIRE, 60))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(process.ended.wait(), 5)
        assert process.reason == "was interrupted"


async def test_cancelling_the_close_leaves_nothing() -> None:
    async with python(
        "import time, atexit\natexit.register(time.sleep, 60)\ndef IOEvent(n, v): pass"
    ) as process:
        closing = asyncio.ensure_future(process.close())
        await asyncio.sleep(0.01)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert process.ended.is_set()


async def test_cancelling_the_start_leaves_nothing() -> None:
    await (await ScriptProcess.start(lambda *_: None)).close()  # the loop keeps one of /dev/null
    before = set(os.listdir("/proc/self/fd"))
    starting = asyncio.ensure_future(ScriptProcess.start(lambda *_: None))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await asyncio.sleep(0)
    assert set(os.listdir("/proc/self/fd")) == before


async def test_a_process_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "COMMAND", ("/nowhere/python",))
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(ScriptDied, match="could not be started: No such file or directory"):
        await ScriptProcess.start(lambda *_: None)
    assert set(os.listdir("/proc/self/fd")) == before


@BOTH_LOOPS
async def test_what_programs_print_is_logged() -> None:
    logged: list[Any] = []
    code = """import os, subprocess, sys
def IOEvent(n, v):
    subprocess.run(["printf", "one\\\\ntwo\\\\n"])
    subprocess.run(["sh", "-c", "printf last >&2"], stdout=sys.stdout)
    os._exit(1)
"""
    async with python(code, lambda *each: logged.append(each)) as process:
        with pytest.raises(ScriptDied):
            await process.ask(FIRE, 5)
    assert logged == [(0, "one"), (0, "two"), (0, "last")]


async def test_a_flood_of_output_is_slowed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    async with python(
        "import subprocess\ndef IOEvent(n, v): subprocess.run(['yes'])", lambda _, text: logged.append(text)
    ) as process:
        with pytest.raises(ScriptDied, match="ran longer"):
            await process.ask(FIRE, 0.3)
    assert set(logged) == {"y"}
    assert len(logged) < 200_000  # unhindered, it is millions


async def test_lines_that_look_like_messages_are_only_logged() -> None:
    logged: list[Any] = []
    forged = '{"variables": {"a": "forged"}, "fatal": null}'
    code = f"""import os, subprocess
def IOEvent(n, v):
    print({forged!r}); messageLog({forged!r}); os.write(1, {forged!r}.encode() + b"\\n")
    print("[1, 'x']\\n[0]")
    print(repr(os.read(0, 100)))
"""
    async with python(code, lambda *each: logged.append(each)) as process:
        assert await process.ask(FIRE, 5) == {"variables": {}, "fatal": None}
    assert sorted(logged) == sorted([(0, forged)] * 3 + [(0, "[1, 'x']"), (0, "[0]"), (0, "b''")])


async def test_a_script_that_closes_the_channel_is_ended() -> None:
    async with python("import os, time\ndef IOEvent(n, v): os.closerange(3, 100); time.sleep(60)") as process:
        with pytest.raises(ScriptDied, match="closed the channel of its host"):
            await process.ask(FIRE, 5)


@pytest.mark.parametrize(
    "junk", [b"junk\n", b"[1, 2, 3]\n", b'"text"\n', b"\xff\n", b"{}\n", b'{"variables": 5}\n']
)
async def test_a_script_that_writes_into_the_channel_is_ended(junk: bytes) -> None:
    code = f"""import os
def IOEvent(n, v):
    for fd in range(3, 20):
        try: os.write(fd, {junk!r})
        except OSError: pass
    import time; time.sleep(60)
"""
    async with python(code) as process:
        with pytest.raises(ScriptDied, match="wrote into the channel of its host"):
            await process.ask(FIRE, 5)


async def test_there_is_an_end_to_what_one_call_may_log() -> None:
    logged: list[Any] = []
    code = "def IOEvent(n, v):\n  for i in range(12_000): messageLog(i)\n"
    async with python(code, lambda *each: logged.append(each)) as process:
        for _ in range(2):
            await process.ask(FIRE, 20)
    assert len(logged) == 2 * 10_001
    assert logged[9_999:10_001] == [(0, "9999"), (1, "2000 more lines were not logged: too many in one call")]


async def test_large_values_both_ways() -> None:
    value = ("x\0\ud800é😀\n" * 800_000)[:5_000_000]
    logged: list[str] = []
    async with python(
        "def IOEvent(n, v): varSet(n, v[::-1]); messageLog(v)", lambda _, text: logged.append(text)
    ) as process:
        message = encode({"do": "fire", "kind": "IO", "key": "k", "value": value, "active": True})
        assert (await process.ask(message, 20))["variables"] == {"k": value[::-1]}
        assert logged == [value]


async def test_a_script_may_close_its_files_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "closed"
    code = (
        f"import atexit\natexit.register(lambda: open({str(path)!r}, 'w').close())\ndef IOEvent(n, v): pass"
    )
    async with python(code):
        assert not path.exists()
    assert path.exists()


async def test_a_script_that_does_not_end_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "GRACE", 0.05)
    code = """import threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
def IOEvent(n, v): pass
"""
    async with python(code) as process:
        pass
    assert process.reason == "was stopped"


async def test_a_script_that_hangs_dies_with_the_server(tmp_path: Path) -> None:
    code = """
import asyncio, os, sys
from mailbell.scripting.process import ScriptProcess
from mailbell.scripting.version import *
from pathlib import Path
async def main():
    process = await ScriptProcess.start(print)
    request = load_request(Path("s.js"), "for (;;);", Limits()) | {"active": True}
    asking = asyncio.ensure_future(process.ask(encode(request), 60))
    await asyncio.sleep(0.2)
    print(process._popen.pid, flush=True)
    await asking
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        assert alive(pid)
        server.send_signal(signal.SIGKILL)
    await gone(pid)
