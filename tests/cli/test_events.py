"""`mailbell events` against a running server."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiosmtplib
from click.testing import CliRunner, Result

from mailbell.cli.main import commands
from tests.page import RAW
from tests.service import PATIENCE, Service, configure, serving, start

OFF = '[web]\nlisten = "off"\n'


async def run(folder: Path, *arguments: str) -> Result:
    command = ["events", "--data", str(folder / "data"), *arguments]
    return await asyncio.to_thread(CliRunner().invoke, commands, command)


async def one(service: Service, subject: str) -> None:
    raw = RAW.replace(b"This is a test", subject.encode())
    await aiosmtplib.send(
        raw, sender="me@example.com", recipients=["a@b.lan", "c@b.lan"],
        hostname="127.0.0.1", port=service.port, start_tls=False,
    )  # fmt: skip


async def test_the_last_ones_in_each_format(tmp_path: Path) -> None:
    async with serving(tmp_path, OFF) as service:
        for number in range(3):
            await one(service, f"n{number}")
        await service.line("IO MONITOR FORCED", 3)
        lines = (await run(tmp_path, "-n", "2")).stdout.splitlines()
        assert [line[19:] for line in lines] == [
            f"  #{number + 1}  smtp  me@example.com → a@b.lan, c@b.lan  n{number}" for number in (1, 2)
        ]
        full = [json.loads(line) for line in (await run(tmp_path, "--format", "full")).stdout.splitlines()]
        assert [each["subject"] for each in full] == ["n0", "n1", "n2"]
        assert full[0]["schema"] == "mailbell.event/1"
        [hsyco] = (await run(tmp_path, "--format", "hsyco", "-n", "1")).stdout.splitlines()
        assert hsyco == service.lines[-1].partition(" = ")[2]


@asynccontextmanager
async def following(folder: Path) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """`mailbell events --follow` as a process; yields a function that waits for its next line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mailbell", "events", "--follow", "--data", str(folder / "data"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip

    async def line() -> str:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            return (await process.stdout.readline()).decode().rstrip()

    try:
        yield line
    finally:
        process.kill()
        await process.wait()


async def test_following_goes_on_across_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path, OFF) as service:
        await one(service, "before")
        await service.line("IO MONITOR FORCED")
        async with following(tmp_path) as line:
            assert (await line()).endswith("before")
            await one(service, "one\x1b[31m")
            said = await line()
            assert said.endswith(r"\u2192 a@b.lan, c@b.lan  one [31m"), "nothing acts on the terminal"
            assert await service.stop() == 0
            assert "after event 2; waiting for it" in await line()
            again = await start(*configure(tmp_path, OFF, port=service.port))
            try:
                await again.line("I/O server smtp: SMTP on")
                await one(again, "two")
                assert (await line()).endswith("two"), "and nothing else before it"
            finally:
                await again.stop()


async def test_without_a_server(tmp_path: Path) -> None:
    for arguments in ([], ["--follow"]):
        result = await run(tmp_path, *arguments)
        assert result.exit_code == 1
        assert "no server runs on the data folder" in result.stderr
