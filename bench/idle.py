"""Connections that do nothing: how many are held at once, and what each costs the server in memory.

When all are up, a mail must still get its 250, and each of them must still answer a NOOP.
"""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator

import uvloop

from bench import results
from bench.load import Load, Times, deliver, mail
from bench.peer import Peer
from bench.peers import Aiosmtpd, Mailbell
from bench.processes import memory

AT_ONCE = 100
"""How many connect at the same time."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class MailbellIdle(Mailbell):
    """mailbell with slots for all of them, and one for the mail."""

    threads = 20_000

    def config(self) -> str:
        return f'{super().config()}idle_timeout = "1h"\n'


@contextlib.asynccontextmanager
async def idle(port: int, many: int) -> AsyncIterator[list[Connection]]:
    """So many connections that have been greeted and have said EHLO."""
    found: list[Connection] = []

    async def connect() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2048)
        found.append((reader, writer))
        await reader.readline()
        writer.write(b"EHLO idle\r\n")
        while (await reader.readline())[3:4] == b"-":
            pass

    try:
        for start in range(0, many, AT_ONCE):
            await asyncio.gather(*(connect() for _ in range(min(AT_ONCE, many - start))))
        yield found
    finally:
        for _, writer in found:
            writer.close()


async def answers(connection: Connection) -> bool:
    reader, writer = connection
    writer.write(b"NOOP\r\n")
    return (await reader.readline()).startswith(b"250")


async def measured(peer: Peer, many: int) -> tuple[float, float]:
    """How many are held, and octets a connection."""
    await deliver(peer.port, [mail(0, Load())], Times())
    before = memory(peer.process.pid)
    async with idle(peer.port, many) as connections:
        cost = (memory(peer.process.pid) - before) / many
        await deliver(peer.port, [mail(1, Load())], Times())
        held = sum(await asyncio.gather(*map(answers, connections)))
    return held, cost


def main() -> None:
    parser = results.options("idle", __doc__)
    parser.add_argument("--connections", type=int, help="how many")
    given = parser.parse_args()
    many = given.connections or (10_000 if given.full else 1_000)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # of which the servers have as many, too
    if many + 100 > most:
        raise SystemExit(
            f"{many} connections need more open files than the {most} that are allowed: ulimit -n"
        )
    found = {}
    for peer in (MailbellIdle(), Aiosmtpd()):
        peer.start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found[peer.name] = runner.run(measured(peer, many))
        finally:
            peer.stop()
        held, cost = found[peer.name]
        print(f"{peer.name}: {held:,.0f} of {many:,} held, {cost / 1000:.1f} KB each", flush=True)
    held, cost = found[Mailbell.name]
    figures = {"smtp.held": [held], "smtp.idle": [cost / 1000]} if many >= 10_000 else {}
    results.figures("idle", figures, publish=given.publish)


if __name__ == "__main__":
    main()
