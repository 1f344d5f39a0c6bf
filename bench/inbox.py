"""The inbox with many mails: how fast the index is made from the journal, and what questions take then."""

import asyncio
import contextlib
import itertools
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from bench import results
from bench.fill import WORDS, append
from mailbell.clock import SystemClock
from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.inbox.index import Inbox
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.mailbox import Search
from mailbell.settings import JournalSettings

ROUNDS = 30


async def main(mails: int, parent: str) -> dict[str, float]:
    """Return how many milliseconds each question takes (p95), by its name."""
    with tempfile.TemporaryDirectory(dir=parent) as path, DataFolder(Path(path)) as folder:
        journal = await SqliteJournal.open(folder, JournalSettings())
        await append(journal, mails)

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
        found = await ask(inbox, mails)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await inbox.close()
        await journal.close()
    return found


def searches() -> dict[str, Callable[[], str]]:
    """What is searched for, by its name; for another word each time, where there are many."""
    frequent, usual, rare = itertools.cycle(WORDS), iter(WORDS[300:]), iter(WORDS[9000:])
    insides = (word[1:] for word in WORDS[200:] if len(word) > 5)
    short = (word[:3] for word in WORDS[400:])
    return {
        "a word of many mails": lambda: next(frequent),
        "a usual word": lambda: next(usual),
        "a rare word": lambda: next(rare),
        "a part of a word": lambda: next(insides),
        "three letters": lambda: next(short),
        "one letter": lambda: "s",
        "one letter in a field": lambda: "subject:s",
        "one letter, from:": lambda: "s from:cam17@cams.lan",
        "all without a letter": lambda: "-s",
        "two words": lambda: f"{next(frequent)} {next(usual)}",
        "from:": lambda: "from:cam17@cams.lan",
        "a begin of words": lambda: "cam",
        "a number": lambda: "4711",
        "is:unread": lambda: "is:unread",
        "has:attachment (none has)": lambda: "has:attachment",
        "all but": lambda: f"-{next(usual)}",
    }


async def ask(inbox: Inbox, mails: int) -> dict[str, float]:
    """Ask each question some rounds."""
    found = {"first page": await timed("first page", lambda: inbox.page(limit=50))}
    await timed("page in the middle", lambda: inbox.page(start=mails // 2, limit=50))
    for what, query in searches().items():

        def search(query: Callable[[], str] = query) -> Awaitable[object]:
            return inbox.page(Search(query()), limit=50)

        found[f"search, {what}"] = await timed(f"search, {what}", search)
    return found | {"delete all": await timed("delete all", lambda: inbox.delete(None), 1)}


async def timed(what: str, ask: Callable[[], Awaitable[object]], rounds: int = ROUNDS) -> float:
    """Return the p95 in milliseconds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    p95 = times[int(len(times) * 0.95)]
    print(f"{what:40} p50 {statistics.median(times):7.1f} ms  p95 {p95:7.1f} ms", flush=True)
    return p95


def figures(mails: int, found: dict[str, float]) -> dict[str, list[float]]:
    """The figures, of which the search is the slowest of all searches; how many mails is in their names."""
    slowest = max(time for what, time in found.items() if what.startswith("search"))
    named = {"page": found["first page"], "search": slowest, "delete": found["delete all"]}
    return {f"web.{name}.{mails}": [value] for name, value in named.items()}


if __name__ == "__main__":
    parser = results.options("inbox", __doc__)
    parser.add_argument("--mails", type=int, help="how many")
    parser.add_argument("--folder", default="/var/tmp", help="on the disk that is to be measured")
    options = parser.parse_args()
    mails = options.mails or (1_000_000 if options.full else 20_000)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(main(mails, options.folder))
    results.figures("inbox", figures(mails, found), publish=options.publish)
