"""`mailbell status`, `replay` and `sinks` against a running server."""

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result

from mailbell.cli.main import commands
from tests.e2e.test_reload import one
from tests.service import Service, serving
from tests.sinks.receiver import Receiver, answer, receiving
from tests.tools import free_port

HOOK = '[web]\nlisten = "off"\n[sinks.hook]\ntype = "webhook"\nurl = "{}"\nretry_for = 0\n'


async def run(folder: Path, *arguments: str) -> Result:
    command = [*arguments, "--data", str(folder / "data")]
    return await asyncio.to_thread(CliRunner().invoke, commands, command)


async def sink(folder: Path) -> dict[str, object]:
    result = await run(folder, "status", "--json")
    [found] = json.loads(result.stdout)["sinks"]
    return dict(found)


async def until(folder: Path, **wanted: object) -> None:
    """Wait until the sink is so far."""
    async with asyncio.timeout(20):
        while not wanted.items() <= (await sink(folder)).items():  # noqa: ASYNC110  another process's state
            await asyncio.sleep(0.02)


async def park_one(folder: Path, service: Service, receiver: Receiver) -> None:
    receiver.plan.append(answer(400, "no such room"))
    await one(service, "first")
    await until(folder, parked=1)


async def test_how_all_is_doing(tmp_path: Path) -> None:
    async with receiving() as receiver, serving(tmp_path, HOOK.format(receiver.url)) as service:
        await park_one(tmp_path, service, receiver)
        await one(service, "second")
        await until(tmp_path, delivered=1)
        result = await run(tmp_path, "status")
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        assert lines[1] == f"I/O server smtp: SMTP on 127.0.0.1:{service.port}; 0 served, 0 waiting"
        assert lines[2].startswith("journal: 2 mails, ")
        assert lines[3].startswith(
            "sink hook: up; 0 to deliver, 1 parked; since the start 1 delivered, 0 retried"
        )
        assert "no such room" in lines[4]


async def test_what_is_parked_is_sent_again(tmp_path: Path) -> None:
    async with receiving() as receiver, serving(tmp_path, HOOK.format(receiver.url)) as service:
        await park_one(tmp_path, service, receiver)
        result = await run(tmp_path, "replay", "hook", "--parked")
        assert result.stdout == "1 event on the way to hook\n"
        await until(tmp_path, delivered=1, parked=0)
        assert (await run(tmp_path, "replay", "hook", "--since", "2h")).stdout.startswith("1 event ")
        await until(tmp_path, delivered=2)
        assert (await run(tmp_path, "replay", "hook", "--id", "1")).exit_code == 0
        await until(tmp_path, delivered=3)
        assert len(receiver.requests) == 4
        unknown = await run(tmp_path, "replay", "hook", "--id", "01a21354-5579-77fc-b194-cb55816d95e7")
        assert unknown.exit_code == 1
        assert "the inbox, which is off" in unknown.stderr


async def test_an_event_by_its_id(tmp_path: Path) -> None:
    hook = HOOK.replace("off", f"127.0.0.1:{free_port()}")
    async with receiving() as receiver, serving(tmp_path, hook.format(receiver.url)) as service:
        await one(service, "again")
        await until(tmp_path, delivered=1)
        id_ = json.loads(receiver.requests[0].body)["id"]
        assert (await run(tmp_path, "replay", "hook", "--id", id_)).exit_code == 0
        await until(tmp_path, delivered=2)
        assert (await run(tmp_path, "replay", "hook", "--id", "0" + id_[1:-1])).exit_code == 1


async def test_paused_and_resumed(tmp_path: Path) -> None:
    async with receiving() as receiver, serving(tmp_path, HOOK.format(receiver.url)) as service:
        assert (await run(tmp_path, "sinks", "pause", "hook")).stdout == "hook is paused, 0 to deliver\n"
        await one(service, "waits")
        await until(tmp_path, lag=1, state="paused")
        assert (await run(tmp_path, "sinks", "resume", "hook")).exit_code == 0
        await until(tmp_path, lag=0, state="up")
        assert len(receiver.requests) == 1


async def test_what_can_not_be_is_said(tmp_path: Path) -> None:
    async with receiving() as receiver, serving(tmp_path, HOOK.format(receiver.url)):
        result = await run(tmp_path, "replay", "hok", "--parked")
        assert result.exit_code == 1
        assert "no sink 'hok'; known: hook" in result.stderr
        assert (await run(tmp_path, "replay", "hook")).exit_code == 2
        assert (await run(tmp_path, "replay", "hook", "--since", "soon")).exit_code == 2
    result = await run(tmp_path, "status")
    assert result.exit_code == 1
    assert "no server runs on the data folder" in result.stderr
