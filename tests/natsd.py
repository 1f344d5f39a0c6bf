"""A nats-server of our own, to be killed and started again."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from nats.aio.client import Client

from tests.tools import free_port, need


class NatsServer:
    """A server with JetStream; what it has stored outlives it."""

    def __init__(self, folder: Path, config: str = "") -> None:
        self._program = need("nats-server")
        self.port = free_port()
        self._config = folder / "nats.conf"
        self._config.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{folder / "store"}" }}\n{config}\n'
        )
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            self._program, "-c", str(self._config), stderr=asyncio.subprocess.PIPE
        )
        assert self._process.stderr is not None
        said = b""
        async with asyncio.timeout(20):
            while b"Server is ready" not in said:
                line = await self._process.stderr.readline()
                assert line, said.decode()
                said += line
        self._reading = asyncio.create_task(self._process.stderr.read())

    async def hang(self) -> None:
        """Stop it without ending it: all its threads, which takes a moment."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        threads = list(Path(f"/proc/{self._process.pid}/task").glob("*/stat"))
        while any(each.read_text().rpartition(")")[2].split()[0] != "T" for each in threads):  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    def go_on(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            await self._reading
            self._process = None


@asynccontextmanager
async def running(folder: Path, config: str = "") -> AsyncIterator[NatsServer]:
    server = NatsServer(folder, config)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


@asynccontextmanager
async def connected(server: NatsServer, **how: object) -> AsyncIterator[Client]:
    """A client of its own, to see what is there."""
    client = await nats.connect(server.url, **how)
    try:
        yield client
    finally:
        await client.close()
