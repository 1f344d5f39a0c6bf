"""Two nodes over three JetStream servers: failovers under load, a rolling restart, what a second node adds.

The nodes, the faults and the load are those of tests/faults, which see to it, too, that nothing is delivered
by a node that has lost the lease.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench import results
from bench.load import KEPT, smtp_source
from bench.peer import SECONDS, Unavailable, needed
from bench.processes import idle_seconds
from tests.e2e.test_kill import more
from tests.faults.test_cluster import LEASE, House, fail_over, house, whole
from tests.natsd import NatsCluster, clustered

SERVER = "debian"
"""Which nats-server; see tests/natsd.py."""

IOSERVER = "threads = 64\nmax_per_source = 1000"
ROUNDS = 3


def main() -> None:
    parser = results.options("cluster", __doc__)
    parser.add_argument("--failovers", type=int, help="how many, of three kinds in turn")
    parser.add_argument("--mails", type=int, help="how many make the load of a round")
    given = parser.parse_args()
    try:
        for command in ("nats-server", "smtp-source"):
            needed(command)
    except Unavailable as reason:
        raise SystemExit(str(reason)) from None
    found = asyncio.run(failovers(given.failovers or (50 if given.full else 3)))
    found |= asyncio.run(restart())
    found |= asyncio.run(nodes(given.mails or (5000 if given.full else 1000)))
    for name, values in found.items():
        print(f"{name}: {results.spread(values, '.2f')}", flush=True)
    results.figures("cluster", found, publish=given.publish)


@asynccontextmanager
async def cluster(
    mode: str = "active-standby", lease: float = LEASE
) -> AsyncIterator[tuple[NatsCluster, House]]:
    """Three servers and two nodes, one of them active."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as name:
        async with clustered(Path(name), SERVER) as servers:
            ports = [server.port for server in servers.servers]
            async with house(
                Path(name), ports, replicas=3, ioserver=IOSERVER, mode=mode, lease=lease
            ) as nodes:
                await nodes.active()
                await whole(servers)
                yield servers, nodes


async def failovers(times: int) -> dict[str, list[float]]:
    """Seconds beyond the lease that each took; what was lost. A delivery without the lease is an error."""
    async with cluster() as (_, nodes):
        nodes.load()
        took = await fail_over(nodes, times)
        lost = await missing(nodes)
        nodes.check_terms()
    figures = {"cluster.failover": [each - LEASE for each in took]}
    return figures | ({"cluster.lost": [lost]} if times >= 50 else {})


async def restart() -> dict[str, list[float]]:
    """All three servers in turn are stopped and started, as for an upgrade; how many mails were lost."""
    async with cluster(lease=10.0) as (servers, nodes):
        nodes.load()
        for server in servers.servers:
            await server.stop()
            await more(nodes.acknowledged, 20)
            await server.start()
            await whole(servers)
        return {"cluster.restart": [await missing(nodes)]}


async def missing(nodes: House) -> float:
    """End the load, and return how many mails with a 250 no script has got a while later."""
    await nodes.rest()
    deadline = time.monotonic() + 2 * SECONDS
    while lost := nodes.acknowledged - {each.subject for each in nodes.deliveries()}:
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.2)
    return float(len(lost))


async def nodes(mails: int) -> dict[str, list[float]]:
    """How many times one node's rate two nodes take, in turns."""
    async with cluster(mode="all-active") as (_, nodes):
        ports = [node.port for node in nodes.nodes]
        await rate(ports, mails // 5)
        ratios = [await rate(ports, mails) / await rate(ports[:1], mails) for _ in range(ROUNDS)]
    return {"cluster.nodes": ratios}


async def rate(ports: list[int], mails: int) -> float:
    """Mails a second of all these nodes, each with a load of its own; says how busy the machine was."""
    began, idle = time.perf_counter(), idle_seconds()
    await asyncio.gather(*(asyncio.to_thread(smtp_source, port, mails, KEPT) for port in ports))
    took = time.perf_counter() - began
    busy = 1 - (idle_seconds() - idle) / took / (os.cpu_count() or 1)
    print(f"{len(ports)} loaded: {len(ports) * mails / took:,.0f} mails/s, the processors busy {busy:.0%}")
    return len(ports) * mails / took


if __name__ == "__main__":
    main()
