"""`mailbell serve` as its user runs it: a process, its lines, and its ways to die."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.tools import free_port

PATIENCE = 60.0


class Service:
    """A running `mailbell serve` and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port
        self.lines: list[str] = []
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip("\n"))
            self._news.set()
        self.lines.append("<end>")
        self._news.set()

    async def line(self, pattern: str, count: int = 1) -> str:
        """The `count`th line that matches, waited for; fails when the process ends first."""
        async with asyncio.timeout(PATIENCE) as patience:
            while True:
                self._news.clear()
                found = [line for line in self.lines if re.search(pattern, line)]
                if len(found) >= count:
                    return found[count - 1]
                assert "<end>" not in self.lines, f"ended without {pattern!r}:\n" + "\n".join(self.lines)
                try:
                    await self._news.wait()
                except asyncio.CancelledError:
                    assert not patience.expired(), f"no {pattern!r} in:\n" + "\n".join(self.lines)
                    raise

    async def kill(self) -> None:
        """No time for last words."""
        self.process.kill()
        await self.ended()

    async def stop(self) -> int:
        """Ask it to stop; the exit status."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for the end; the exit status."""
        async with asyncio.timeout(PATIENCE):
            status = await self.process.wait()
            await self._reading
        return status


async def start(config: Path, port: int = 0, **environment: str) -> Service:
    """Run `mailbell serve -c config`; does not wait until it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mailbell", "serve", "-c", str(config),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment},
        limit=2**24,
    )  # fmt: skip
    return Service(process, port)


@asynccontextmanager
async def serving(folder: Path, sinks: str = "", ioserver: str = "", **files: str) -> AsyncIterator[Service]:
    """A server that listens, with these sinks and options (TOML), and files beside its config."""
    service = await start(*configure(folder, sinks, ioserver, files))
    try:
        await service.line(r"I/O server smtp: SMTP on")
        yield service
    finally:
        if service.process.returncode is None:
            await service.stop()


def configure(
    folder: Path, sinks: str = "", ioserver: str = "", files: Mapping[str, str] | None = None, port: int = 0
) -> tuple[Path, int]:
    """Write a config for a free port of the loopback; its path and the port."""
    port = port or free_port()
    for name, text in (files or {}).items():
        (folder / name.replace("__", ".")).write_text(text)
    config = folder / "mailbell.toml"
    config.write_text(
        f'data = "data"\n[ioservers.smtp]\nport = {port}\nlisten = ["127.0.0.1"]\n{ioserver}\n{sinks}\n'
    )
    return config, port
