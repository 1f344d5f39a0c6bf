"""What is still there of the mails that got their 250, after kill -9 and after a loss of power.

A server is ended again and again at random moments under load, on one folder, and starts again on what is
left. For a loss of power it is killed, too, and its folder put back to what an fsync had made durable.
"""

import asyncio
import itertools
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench import powerloss, results
from bench.fsyncs import traced
from bench.load import Load, Times, bursts, on_uvloop
from bench.peer import SECONDS, Peer, Unavailable
from bench.peers import (
    AiosmtpdFiles,
    InbucketKeeping,
    Mailbell,
    MailbellScript,
    Mailpit,
    PostfixHolding,
    column,
)
from bench.results import Result, Server
from tests.tools import ROOT

PEERS: list[type[Peer]] = [Mailbell, AiosmtpdFiles, PostfixHolding, Mailpit, InbucketKeeping]
LOAD = Load(clients=8, keep=True)
MAILS = (20, 200)
"""Within how many mails the end comes."""

End = Callable[[Peer, Iterator[int]], set[str]]
"""Loads a server with mails of these numbers and ends it; returns the subjects of those that got a 250."""


def main() -> None:
    parser = results.options("survival", __doc__)
    parser.add_argument("--kills", type=int, help="how often mailbell with a script is killed")
    given = parser.parse_args()
    kills, few = given.kills or (100 if given.full else 3), 10 if given.full else 1
    result = results.result("survival")
    for kind in PEERS:
        for what, end in (("kill", kill), ("power", cut)):
            note(result, what, kind, partial(survived, kind, end, few))
    note(result, "delivered", MailbellScript, partial(delivered, kills))
    result.figures = figures(result)
    report(result, publish=given.publish)


def note(result: Result, what: str, kind: type[Peer], measure: Callable[[], dict[str, float]]) -> None:
    """Keep what was measured, or why it could not be."""
    try:
        found = measure()
    except Unavailable as reason:
        result.absent[f"{kind.name}, {what}"] = str(reason)
        print(f"left out: {kind.name}, {what}, which {reason}", flush=True)
        return
    print(f"{kind.name}, {what}: {found}", flush=True)
    result.servers[kind.name] = Server("", kind.stores)
    result.runs.setdefault(what, {})[kind.name] = {name: [value] for name, value in found.items()}


def survived(kind: type[Peer], end: End, ends: int) -> dict[str, float]:
    """End a server so many times; mails that got a 250, that are gone then, and that are there twice.

    One that takes no mail any more after an end is not ended again: `refuses` is 1.
    """
    peer, numbers, acknowledged, refuses = kind(), itertools.count(), set[str](), False
    try:
        for _ in range(ends):
            peer.start()
            if refuses := not (taken := end(peer, numbers)):
                break
            acknowledged |= taken
        peer.start()
        peer.end()
        kept = peer.subjects()
    finally:
        peer.remove()
    return counted(acknowledged, kept) | {"refuses": float(refuses)}


def counted(acknowledged: set[str], kept: list[str]) -> dict[str, float]:
    lost, twice = acknowledged - set(kept), len(kept) - len(set(kept))
    return {"acknowledged": len(acknowledged), "lost": len(lost), "twice": twice}


def kill(peer: Peer, numbers: Iterator[int]) -> set[str]:
    """Load the server and kill it in the midst of it, or as soon as it refuses a mail."""
    times, wanted = Times(), random.randint(*MAILS)

    async def loading() -> None:
        sending = asyncio.create_task(bursts(peer.port, numbers, LOAD, times))
        while len(times.reply) < wanted and not sending.done():
            await asyncio.sleep(0.001)
        peer.kill()
        try:
            await sending
        except* OSError:
            pass  # its connections were cut, or a mail was refused: without a 250 there is nothing to keep

    on_uvloop(loading())
    return set(times.reply)


def cut(peer: Peer, numbers: Iterator[int]) -> set[str]:
    """Load the server, and have it lose power in the midst of it."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as room:
        before, trace = Path(room, "before"), Path(room, "trace")
        peer.settle()
        powerloss.copy(peer.folder, before)
        disk = powerloss.Disk(peer.folder, peer.working)
        with traced(peer.process.pid, powerloss.CALLS, trace, *powerloss.OPTIONS, killed=True):
            acknowledged = kill(peer, numbers)
        with trace.open(encoding="ascii") as lines:
            disk.play(powerloss.calls(lines))
        disk.lose_power(before)
    return acknowledged


def delivered(kills: int) -> dict[str, float]:
    """Kill mailbell so many times; mails that never reached the script, and events that were parked."""
    peer, numbers, acknowledged = MailbellScript(), itertools.count(), set[str]()
    try:
        for _ in range(kills):
            peer.start()
            acknowledged |= kill(peer, numbers)
        peer.start()
        deadline = time.monotonic() + SECONDS
        while (missing := acknowledged - peer.calls().keys()) and time.monotonic() < deadline:
            time.sleep(0.1)
        peer.end()
        parked = int(column(peer.folder / "data/delivery.db", "select count(*) from parked")[0])
    finally:
        peer.remove()
    return {"acknowledged": len(acknowledged), "lost": len(missing), "parked": parked, "ends": kills}


def figures(result: Result) -> dict[str, list[float]]:
    """One more mail that is lost or parked after a hundred kills is one too many."""
    found = result.runs.get("delivered", {}).get(MailbellScript.name)
    if found is None or found["ends"][0] < 100:
        return {}
    return {"delivery.killed": [found["lost"][0] + found["parked"][0]]}


def report(result: Result, *, publish: bool) -> None:
    text = markdown(result)
    print(f"\n{text}")
    for folder in results.folders(publish=publish):
        (folder / "survival.md").write_text(f"{text}\n")
        print(f"written: {(folder / 'survival.md').relative_to(ROOT)}")
    results.save(result, publish=publish)


def markdown(result: Result) -> str:
    """Return the page."""
    lines = ["# What survives\n", f"On {result.machine}; {result.date}, commit {result.commit}."]
    lines += [
        f"`{result.command}` repeats it. Of the mails that got their 250, those that are gone after the"
    ]
    lines += [
        "server was killed (kill -9) at random moments under load and started again, and after it lost power"
    ]
    lines += [
        "(bench/powerloss.py: whatever was written and not made durable by an fsync is gone). What a peer"
    ]
    lines += ["loses it loses by design: a test tool has no need of more.\n"]
    lines += ["| | at the 250 a mail is | lost by kill -9 | lost by a loss of power | there twice |"]
    lines += ["| --- | --- | ---: | ---: | ---: |"]
    kills, cuts = result.runs.get("kill", {}), result.runs.get("power", {})
    for name in kills | cuts:
        twice = sum(each[name]["twice"][0] for each in (kills, cuts) if name in each)
        cells = [
            name,
            result.servers[name].stores,
            share(kills.get(name)),
            share(cuts.get(name)),
            f"{twice:.0f}",
        ]
        lines += [f"| {' | '.join(cells)} |"]
    for name, each in result.runs.get("delivered", {}).items():
        values = {key: int(value[0]) for key, value in each.items()}
        lines += [f"\n{name}, killed {values['ends']} times: of {values['acknowledged']:,} mails with a 250"]
        lines += [f"{values['lost']} did not reach the script, and {values['parked']} were parked."]
    lines += [f"\nNot measured: {name}, which {reason}" for name, reason in result.absent.items()]
    return "\n".join(lines)


def share(values: dict[str, list[float]] | None) -> str:
    """Return how many of how many were lost."""
    if values is None:
        return "?"
    then = "; then it takes no mail any more" * bool(values["refuses"][0])
    return f"{values['lost'][0]:,.0f} of {values['acknowledged'][0]:,.0f}{then}"


if __name__ == "__main__":
    main()
