"""The inbox with many mails: how fast the index is made from the journal, and what questions take then.

Run: `python -m bench inbox [MAILS] [FOLDER]`.
"""

import asyncio
import contextlib
import itertools
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from mailbell.clock import SystemClock
from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.inbox.index import Inbox
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.mail import Envelope, Mail, Source, new_id
from mailbell.mailbox import Search
from mailbell.settings import JournalSettings

MAILS = 100_000
ROUNDS = 30
SOURCE = Source("192.168.1.50", 40123, "cam.lan")
DICE = random.Random(1)
WORDS = ["".join(DICE.choices("abcdefghijklmnoprstuvw", k=DICE.randint(3, 10))) for _ in range(20_000)]
WEIGHTS = list(itertools.accumulate(1 / (rank + 10) for rank in range(len(WORDS))))


def mail(number: int) -> Mail:
    """A small mail with words as frequent as those of a language, from one of 200 cameras."""
    sender, at = f"cam{number % 200}@cams.lan", 1_790_000_000_000 + number * 1000
    subject, body = (" ".join(DICE.choices(WORDS, cum_weights=WEIGHTS, k=k)) for k in (5, 60))
    head = f"From: Camera {number % 200} <{sender}>\r\nTo: alarm@house.lan\r\nSubject: {subject}\r\n"
    raw = f"{head}Message-ID: <{number}@cams.lan>\r\n\r\n{body}\r\n".encode()
    return Mail(new_id(at), at, "smtp", SOURCE, Envelope(sender, ("alarm@house.lan",)), raw)


async def main(mails: int, parent: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=parent) as path, DataFolder(Path(path)) as folder:
        journal = await SqliteJournal.open(folder, JournalSettings())
        for start in range(0, mails, 1000):
            some = range(start, min(start + 1000, mails))
            await asyncio.gather(*(journal.append(mail(number)) for number in some))

        async def item(sequence: int) -> Converted:
            return convert(await journal.read(sequence), ConvertOptions())

        async def rest(_began: float) -> None: ...

        consumer = await journal.consumer("inbox")
        inbox = Inbox(folder.path / "index.db", journal, consumer, item, rest, SystemClock())
        running = asyncio.create_task(inbox.run())
        began = time.perf_counter()
        while not inbox.ready:
            await asyncio.sleep(0.01)
        seconds = time.perf_counter() - began
        octets = (await inbox.counts()).octets
        print(f"{mails} mails indexed: {mails / seconds:.0f} a second, {octets / mails:.0f} octets each")
        await ask(inbox, mails)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await inbox.close()
        await journal.close()


async def ask(inbox: Inbox, mails: int) -> None:
    """Each question some rounds; a search is for another word each time, where there are many."""
    frequent, usual, rare = iter(WORDS * 9), iter(WORDS[300:]), iter(WORDS[9000:])
    insides = (word[1:] for word in WORDS[200:] if len(word) > 5)
    short = (word[:3] for word in WORDS[400:])
    await timed("first page", lambda: inbox.page(limit=50))
    await timed("page in the middle", lambda: inbox.page(start=mails // 2, limit=50))
    await timed("search, a word of many mails", lambda: inbox.page(Search(next(frequent)), limit=50))
    await timed("search, a usual word", lambda: inbox.page(Search(next(usual)), limit=50))
    await timed("search, a rare word", lambda: inbox.page(Search(next(rare)), limit=50))
    await timed("search, a part of a word", lambda: inbox.page(Search(next(insides)), limit=50))
    await timed("search, three letters", lambda: inbox.page(Search(next(short)), limit=50))
    await timed("search, one letter (of over 500 words)", lambda: inbox.page(Search("s"), limit=50), 5)
    await timed("search, two words", lambda: inbox.page(Search(f"{next(frequent)} {next(usual)}"), limit=50))
    await timed("search, from:", lambda: inbox.page(Search("from:cam17@cams.lan"), limit=50))
    await timed("search, a begin of words", lambda: inbox.page(Search("cam"), limit=50))
    await timed("search, a number", lambda: inbox.page(Search("4711"), limit=50))
    await timed("search, is:unread", lambda: inbox.page(Search("is:unread"), limit=50))
    await timed("search, has:attachment (none has)", lambda: inbox.page(Search("has:attachment"), limit=50))
    await timed("search, all but", lambda: inbox.page(Search(f"-{next(usual)}"), limit=50))
    await timed("delete all", lambda: inbox.delete(None), 1)


async def timed(what: str, ask: Callable[[], Awaitable[object]], rounds: int = ROUNDS) -> None:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    p95 = times[int(len(times) * 0.95)]
    print(f"{what:40} p50 {statistics.median(times):7.1f} ms  p95 {p95:7.1f} ms", flush=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(given[0]) if given else MAILS, given[1] if given[1:] else None))
