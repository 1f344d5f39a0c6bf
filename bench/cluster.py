"""The cluster: mails a second into one and two nodes, and what that costs beside the embedded journal.

Run: `python -m bench cluster`. Servers, nodes and clients share this machine's cores, so two nodes take more
than one only where there are cores for them.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.natsd import NatsCluster, NatsServer
from tests.service import Service, start
from tests.tools import free_port

SECONDS = 4.0
CLIENTS = 16
"""Of each node; each sends one mail after the other on a connection that it keeps."""

MAIL = b"MAIL FROM:<cam@lan>\r\nRCPT TO:<gate@lan>\r\nDATA\r\n"
TEXT = b"Subject: Motion\r\n\r\n" + b"x" * 980 + b"\r\n.\r\n"
REPLIES = 4

CONFIG = """
data = "data"
[log]
terminal = true
[ioservers.smtp]
port = {port}
listen = ["127.0.0.1"]
threads = 64
max_per_source = 100
[web]
listen = "off"
{journal}
"""
JOURNAL = """[journal]
engine = "jetstream"
url = "{url}"
replicas = {replicas}
synced = true
[ha]
node = "{node}"
"""


async def main() -> None:
    print(f"{os.cpu_count()} cores, {CLIENTS} clients a node, mails of 1 KB, {SECONDS:g} s each\n")
    with tempfile.TemporaryDirectory() as path:
        alone = await measure("embedded journal, one node", Path(path) / "0", 1, None)
        for servers in (1, 3):
            async with natsd(Path(path) / f"nats{servers}", servers) as url:
                for nodes in (1, 2):
                    what = (
                        f"JetStream, {servers} server{'s' * (servers > 1)}, {nodes} node{'s' * (nodes > 1)}"
                    )
                    rate = await measure(what, Path(path) / f"{servers}{nodes}", nodes, url, servers)
                    print(f"{'':42}{rate / alone:6.2f} x embedded")


@asynccontextmanager
async def natsd(folder: Path, servers: int) -> AsyncIterator[str]:
    """The newest server; Debian's where it is not installed."""
    folder.mkdir()
    which = "wheel" if (Path(sys.executable).parent / "nats-server").exists() else "debian"
    made = NatsServer(folder, which=which) if servers == 1 else NatsCluster(folder, which)
    await made.start()
    try:
        yield made.url
    finally:
        await made.kill()


async def measure(what: str, folder: Path, count: int, url: str | None, replicas: int = 1) -> float:
    """Mails a second into so many nodes together."""
    async with AsyncExitStack() as stack:
        nodes = [await node(folder / f"n{number}", url, replicas, stack) for number in range(count)]
        before = sum(processor(each) for each in nodes)
        times: list[float] = []
        until = time.perf_counter() + SECONDS
        await asyncio.gather(*(client(each.port, until, times) for each in nodes for _ in range(CLIENTS)))
        spent = sum(processor(each) for each in nodes) - before
    return report(what, times, spent)


async def node(folder: Path, url: str | None, replicas: int, stack: AsyncExitStack) -> Service:
    folder.mkdir(parents=True)
    port = free_port()
    journal = "" if url is None else JOURNAL.format(url=url, replicas=replicas, node=folder.name)
    (folder / "mailbell.toml").write_text(CONFIG.format(port=port, journal=journal))
    service = await start(folder / "mailbell.toml", port)
    await service.line("send a first mail")
    stack.push_async_callback(service.stop)
    return service


async def client(port: int, until: float, times: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    writer.write(b"HELO x\r\n")
    await reader.readline()
    while (began := time.perf_counter()) < until:
        writer.write(MAIL)
        for _ in range(REPLIES - 1):
            await reader.readline()
        writer.write(TEXT)
        if (await reader.readline()).startswith(b"250"):
            times.append(time.perf_counter() - began)
    writer.close()
    await writer.wait_closed()


def processor(service: Service) -> float:
    """Seconds of processor time of a node's processes."""
    pid = service.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(_ticks(each) for each in (pid, *map(int, children))) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def report(what: str, times: Sequence[float], spent: float) -> float:
    ordered = sorted(times)
    p50, p99 = (ordered[int(len(ordered) * part)] * 1000 for part in (0.5, 0.99))
    rate = len(ordered) / SECONDS
    print(
        f"{what:42}{rate:6.0f} mails/s   p50 {p50:5.1f} ms  p99 {p99:5.1f} ms"
        f"   {spent / len(ordered) * 1e6:5.0f} µs of the nodes' processors a mail",
        flush=True,
    )
    return rate


if __name__ == "__main__":
    if shutil.which("nats-server") is None and not (Path(sys.executable).parent / "nats-server").exists():
        sys.exit("nats-server is needed: sudo scripts/apt test")
    asyncio.run(main())
