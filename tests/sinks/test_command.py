"""The command sink, with real programs."""

import asyncio
import json
import logging
import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.errors import SinkUnavailable
from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.event.sample import sample
from mailbell.settings import CommandSettings, Duration
from mailbell.sinks.base import Delivered, Outcome, Reject, Retry, Sink
from mailbell.sinks.command import LONGEST_VARIABLE, MOST_OUTPUT, CommandSink, _variable
from tests.conftest import BOTH_LOOPS
from tests.sinks.conftest import House, event, mail

SAMPLE = convert(sample(), ConvertOptions())


def shell(script: str, **settings: object) -> CommandSink:
    """A shell only because its one-liners are short; the sink itself never uses one."""
    return CommandSink("bell", CommandSettings(argv=("/bin/sh", "-c", script), **settings))  # type: ignore[arg-type]


async def run(script: str, item: Converted = SAMPLE, **settings: object) -> Outcome:
    return await shell(script, **settings).deliver(item)


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mailbell.command")


@BOTH_LOOPS
async def test_the_event_is_on_standard_input(tmp_path: Path) -> None:
    for form, expected in (("full", SAMPLE.json), ("hsyco", SAMPLE.value.encode()), ("raw", SAMPLE.mail.raw)):
        assert await run(f"cat > {tmp_path}/out", input=form) == Delivered()
        assert (tmp_path / "out").read_bytes() == expected


async def test_the_fields_are_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN", "stays")
    program = f"import json, os; json.dump(dict(os.environ), open({str(tmp_path / 'out')!r}, 'w'))"
    settings = CommandSettings(argv=(sys.executable, "-c", program))
    assert await CommandSink("bell", settings).deliver(SAMPLE) == Delivered()
    there = json.loads((tmp_path / "out").read_text())
    assert there["OWN"] == "stays"
    assert {name: value for name, value in there.items() if name.startswith("MAILBELL_")} == {
        "MAILBELL_ID": "015279d1-0d2e-7000-8000-000000000000",
        "MAILBELL_RECEIVED_AT": "2016-01-25T17:24:49.582Z",
        "MAILBELL_IOSERVER": "smtp",
        "MAILBELL_NAME": "smtp.mail",
        "MAILBELL_SOURCE_IP": "192.0.2.1",
        "MAILBELL_SOURCE_PORT": "49152",
        "MAILBELL_SOURCE_HELO": "camera1",
        "MAILBELL_SOURCE_AUTH_USER": "",
        "MAILBELL_MAIL_FROM": "camera1@cameras.example",
        "MAILBELL_RCPT_TO": "alarms@example.com",
        "MAILBELL_MESSAGE_ID": "20160125182449.1@camera1.cameras.example",
        "MAILBELL_SUBJECT": "Motion detected",
        "MAILBELL_DATE": "2016-01-25T18:24:49+01:00",
        "MAILBELL_FROM": "camera1@cameras.example",
        "MAILBELL_FROM_NAME": "Front door",
        "MAILBELL_TO": "alarms@example.com",
        "MAILBELL_CC": "",
        "MAILBELL_REPLY_TO": "",
        "MAILBELL_TEXT": "Motion detected on channel 1.\nThis is a sample that mailbell made.",
        "MAILBELL_SIZE": str(len(SAMPLE.mail.raw)),
        "MAILBELL_ATTACHMENTS": "1",
    }


async def test_what_a_mail_says_is_no_command(tmp_path: Path) -> None:
    evil = f"$(touch {tmp_path}/x); `touch {tmp_path}/x`"
    assert await run('test "$MAILBELL_SUBJECT" = "$MAILBELL_TEXT"', event(evil, evil)) == Reject(
        "exit status 1"
    )
    assert not (tmp_path / "x").exists()


async def test_a_mail_larger_than_pipes_and_environments(tmp_path: Path) -> None:
    big = event("ö" * 300_000, "x" * 3_000_000)
    assert await run(f"wc -c > {tmp_path}/out", big) == Delivered()
    assert int((tmp_path / "out").read_text()) == len(big.json)
    assert await run("exit 0", big) == Delivered()  # it does not read at all


@given(st.text(max_size=20), st.sampled_from([1, LONGEST_VARIABLE // 7]))
def test_any_text_becomes_a_variable(piece: str, times: int) -> None:
    text = piece * times
    octets = _variable(text)
    assert len(octets) <= LONGEST_VARIABLE
    assert text.replace("\0", "").startswith(octets.decode())


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("exit 0", Delivered()),
        ("exit 75", Retry("exit status 75")),
        ("exit 1", Reject("exit status 1")),
        ("echo first; echo 'no such bell' >&2; exit 3", Reject("exit status 3: no such bell")),
        ("printf 'no line end'; exit 75", Retry("exit status 75: no line end")),
        ("kill -SEGV $$", Retry("was ended by SIGSEGV")),
        ("echo started; sleep 60", Retry("ran longer than 0.3 s and was killed: started")),
    ],
)
async def test_outcomes(script: str, outcome: Outcome) -> None:
    assert await run(script, time_limit=Duration(0.3)) == outcome


@BOTH_LOOPS
async def test_nothing_of_its_group_is_left(tmp_path: Path) -> None:
    """What it leaves in the background dies with it: at its end, over time, and when the server stops."""
    forks = f"sleep 60 & echo $! > {tmp_path}/pid;"
    assert await run(forks + "exit 0") == Delivered()
    assert await gone(tmp_path / "pid")
    assert isinstance(await run(forks + "sleep 60", time_limit=Duration(0.2)), Retry)
    assert await gone(tmp_path / "pid")
    task = asyncio.create_task(run(f"{forks} echo > {tmp_path}/up; sleep 60"))
    async with asyncio.timeout(10):
        while not (tmp_path / "up").exists():  # noqa: ASYNC110  another process's file
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(tmp_path / "pid")


async def gone(file: Path) -> bool:
    """Whether the process with the number in this file is dead; a killed orphan is soon reaped."""
    pid = int(file.read_text())
    async with asyncio.timeout(10):
        while Path(f"/proc/{pid}/stat").exists():
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
            await asyncio.sleep(0.01)
    return True


async def test_a_program_that_outlives_its_group_holds_nothing_up(tmp_path: Path) -> None:
    """`setsid` is for those who want that; the pipe it holds is not waited for."""
    started = time.monotonic()
    assert (
        await run(
            f"setsid sh -c 'echo $$ > {tmp_path}/pid; sleep 30' & until test -s {tmp_path}/pid; do :; done"
        )
        == Delivered()
    )
    assert time.monotonic() - started < 10
    os.kill(int((tmp_path / "pid").read_text()), 9)


async def test_output_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    await run("echo out; echo err >&2; printf last")
    assert caplog.messages == ["sink bell: out", "sink bell: err", "sink bell: last"]


async def test_endless_output_is_cut_and_killed(caplog: pytest.LogCaptureFixture) -> None:
    outcome = await run("yes 0123456789", time_limit=Duration(0.5))
    assert outcome == Retry("ran longer than 0.5 s and was killed: 0123456789")
    assert sum(map(len, caplog.messages)) < 4 * MOST_OUTPUT
    assert caplog.messages[-1] == "sink bell: 0123456789 … the rest is left out"


async def test_a_relative_program_is_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "ring.sh").write_text("#!/bin/sh\npwd > here\n")
    sink = CommandSink("bell", CommandSettings(argv=("./ring.sh",), folder=tmp_path))
    with pytest.raises(SinkUnavailable, match=f"./ring.sh: no such program in {tmp_path}"):
        await sink.start()
    assert await sink.deliver(SAMPLE) == Retry("./ring.sh can't be run: Permission denied")
    (tmp_path / "ring.sh").chmod(0o755)
    await sink.start()
    assert await sink.deliver(SAMPLE) == Delivered()
    assert (tmp_path / "here").read_text().strip() == str(tmp_path)


@pytest.mark.parametrize(
    ("argv", "folder", "problem"),
    [
        (("no-such-bell",), None, "no-such-bell: no such program on the PATH"),
        (("/no/bell",), None, "/no/bell: no such program"),
        (("true",), Path("/no/folder"), "no such folder: /no/folder"),
    ],
)
async def test_what_can_be_told_before(argv: tuple[str, ...], folder: Path | None, problem: str) -> None:
    sink: Sink = CommandSink("bell", CommandSettings(argv=argv, folder=folder))
    with pytest.raises(SinkUnavailable, match=problem):
        await sink.start()
    assert isinstance(await sink.deliver(SAMPLE), Retry)


def test_arguments_are_not_shown() -> None:
    settings = CommandSettings(argv=("curl", "-u", "me:hunter2"))
    assert "hunter2" not in f"{settings!r} {settings.describe()} {CommandSink('bell', settings)!r}"


async def test_a_program_that_fails_for_a_while_loses_nothing(house: House, tmp_path: Path) -> None:
    """It says 75 while a file is missing, refuses one subject, and appends the others to its list."""
    script = (
        f'test -e {tmp_path}/up || exit 75; test "$MAILBELL_SUBJECT" != bad || exit 1; '
        f'echo "$MAILBELL_SUBJECT" >> {tmp_path}/got'
    )
    await house.add(shell(script))
    subjects = [f"mail {number}" for number in range(20)]
    await house.receive(*map(mail, subjects), mail("bad"))
    (tmp_path / "up").touch()
    await house.settled("bell")
    assert sorted((tmp_path / "got").read_text().splitlines()) == sorted(subjects)
    [parked] = await house.parked("bell")
    assert parked.reason == "exit status 1"
