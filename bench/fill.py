"""A data folder with many mails from the start, as cameras might have sent them."""

import asyncio
import itertools
import random
import time
from collections.abc import Iterator
from pathlib import Path

from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.mail import Envelope, Mail, Source, new_id
from mailbell.settings import JournalSettings

SOURCE = Source("192.168.1.50", 40123, "cam.lan")
AT_ONCE = 1000


def fill(path: Path, mails: int) -> None:
    """Put so many mails into the journal of a data folder, which is made."""
    path.mkdir(exist_ok=True)
    with DataFolder(path) as folder:
        asyncio.run(_fill(folder, mails))


async def _fill(folder: DataFolder, mails: int) -> None:
    journal = await SqliteJournal.open(folder, JournalSettings())
    await append(journal, mails)
    await journal.close()


async def append(journal: SqliteJournal, mails: int) -> None:
    some = sample()
    for start in range(0, mails, AT_ONCE):
        await asyncio.gather(*(journal.append(next(some)) for _ in range(min(AT_ONCE, mails - start))))


def vocabulary(dice: random.Random) -> list[str]:
    return ["".join(dice.choices("abcdefghijklmnoprstuvw", k=dice.randint(3, 10))) for _ in range(20_000)]


WORDS = vocabulary(random.Random(1))
WEIGHTS = list(itertools.accumulate(1 / (rank + 10) for rank in range(len(WORDS))))


def sample() -> Iterator[Mail]:
    """Small mails without end, since yesterday, of 200 cameras, with words as frequent as in a language."""
    dice, began = random.Random(1), time.time_ns() // 1_000_000 - 86_400_000
    for number in itertools.count():
        sender, at = f"cam{number % 200}@cams.lan", began + number * 50
        subject, body = (" ".join(dice.choices(WORDS, cum_weights=WEIGHTS, k=k)) for k in (5, 60))
        head = f"From: Camera {number % 200} <{sender}>\r\nTo: alarm@house.lan\r\nSubject: {subject}\r\n"
        raw = f"{head}Message-ID: <{number}@cams.lan>\r\n\r\n{body}\r\n".encode()
        yield Mail(new_id(at), at, "smtp", SOURCE, Envelope(sender, ("alarm@house.lan",)), raw)
