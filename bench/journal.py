"""The journal: appends a second, octets a second, and how fast a consumer gets through.

Run: `python bench/journal.py [FOLDER]`, on the disk that is to be measured.
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from mailbell.journal.base import Consumer
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.mail import Envelope, Mail, Source, new_id
from mailbell.settings import JournalSettings

SECONDS = 3.0
SMALL = os.urandom(1000)
LARGE = os.urandom(10_000_000)
SOURCE = Source("192.168.1.50", 40123, "cam.lan")
ENVELOPE = Envelope("cam@home.lan", ("gate@home.lan",))


async def main(parent: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=parent) as path, DataFolder(Path(path)) as folder:
        journal = await SqliteJournal.open(folder, JournalSettings())
        for clients in (1, 20, 64):
            await appends(journal, f"1 KB, {clients:2} clients", SMALL, clients)
        for clients in (1, 4):
            await appends(journal, f"10 MB, {clients} clients", LARGE, clients)
        await journal.close()
    with tempfile.TemporaryDirectory(dir=parent) as path, DataFolder(Path(path)) as folder:
        journal = await SqliteJournal.open(folder, JournalSettings())
        behind = await journal.consumer("behind")
        live = await journal.consumer("live")
        consuming = asyncio.create_task(consume(journal, live))
        await appends(journal, "1 KB, 20 clients, one live consumer", SMALL, 20)
        print(f"{'the live consumer is behind by':45} {live.lag:9} events")
        consuming.cancel()
        await journal.close()
        journal = await SqliteJournal.open(folder, JournalSettings())
        behind = await journal.consumer("behind")
        await drain(journal, behind)
        await journal.close()


async def appends(journal: SqliteJournal, what: str, raw: bytes, clients: int) -> None:
    """Each client appends one mail after the other."""
    began = time.perf_counter()
    times: list[float] = []

    async def client() -> None:
        while (start := time.perf_counter()) < began + SECONDS:
            await journal.append(mail(raw))
            times.append(time.perf_counter() - start)

    await asyncio.gather(*(client() for _ in range(clients)))
    seconds = time.perf_counter() - began
    times.sort()
    p50, p99 = (times[int(len(times) * part)] * 1000 for part in (0.5, 0.99))
    print(
        f"{what:45} {len(times) / seconds:9.0f} mails/s {len(times) * len(raw) / seconds / 1e6:7.0f} MB/s"
        f"   p50 {p50:6.2f} ms  p99 {p99:6.2f} ms  max {times[-1] * 1000:6.1f} ms"
    )


async def consume(journal: SqliteJournal, consumer: Consumer) -> None:
    while True:
        for claim in await consumer.fetch(16):
            await journal.read(claim.sequence)
            consumer.ack(claim)


async def drain(journal: SqliteJournal, consumer: Consumer) -> None:
    """Get through what came while the consumer was away."""
    events = consumer.lag
    began = time.perf_counter()
    while consumer.lag:
        claims = await consumer.fetch(16)
        await asyncio.gather(*(journal.read(claim.sequence) for claim in claims))
        for claim in claims:
            consumer.ack(claim)
    print(
        f"{'a consumer drains, reading from disk':45} {events / (time.perf_counter() - began):9.0f} events/s"
    )


def mail(raw: bytes) -> Mail:
    now = time.time_ns() // 1_000_000
    return Mail(new_id(now), now, "smtp", SOURCE, ENVELOPE, raw)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
