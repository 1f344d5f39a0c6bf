"""Appends mail and acknowledges some until it is killed; says each on standard output once it is so.

`A <sequence> <id>`: append returned. `S <sequence>`: about to be acknowledged.
"""

import asyncio
import os
import random
import sys
from pathlib import Path

from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.mail import Envelope, Mail, Source, new_id
from mailbell.settings import JournalSettings

CLIENTS = 12


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")  # whole lines, with no buffer to die in


def raw(id_: str) -> bytes:
    """Content that a reader can check: derived from the id, of very different sizes."""
    return id_.encode() * (1 + int(id_[-2:], 16) ** 2 // 64)


async def client(journal: SqliteJournal) -> None:
    while True:
        id_ = new_id(random.getrandbits(40))
        mail = Mail(id_, 1, "smtp", Source("127.0.0.1", 1), Envelope("a@x", ("b@x",)), raw(id_))
        say(f"A {await journal.append(mail)} {id_}")


async def consume(journal: SqliteJournal) -> None:
    consumer = await journal.consumer("sink")
    while True:
        for claim in await consumer.fetch(8):
            if random.random() < 0.2:
                consumer.retry(claim, 0, "once more")
            else:
                say(f"S {claim.sequence}")
                consumer.ack(claim)
        await asyncio.sleep(0)


async def main(path: str) -> None:
    journal = await SqliteJournal.open(DataFolder(Path(path)), JournalSettings())
    consumer = asyncio.create_task(consume(journal))
    await asyncio.gather(consumer, *(client(journal) for _ in range(CLIENTS)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
