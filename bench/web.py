"""The API: what a request costs the server in CPU, and what readers cost SMTP.

Readers are pages that are open (a WebSocket each), one that follows the events, and one that asks for lists,
searches and mails at a steady rate.
"""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator

import aiohttp
import uvloop

from bench import results
from bench.load import KEPT, Load, Times, measured, paced, percentiles, send
from bench.peer import SECONDS, Unavailable, needed
from bench.processes import cpu_seconds
from bench.scenarios import MailbellInbox

GOAL = 90.0
"""% of its rate that SMTP is to keep while there are readers."""

ARRIVING = Load(rate=50)
PAGES = 10
RATE = 20.0
"""Requests a second of the one that asks."""

CALLS = {
    "a page of the list": "/api/v1/messages?limit=50",
    "a search": "/api/v1/search?query=subject:smtp&limit=50",
    "a mail": "/api/v1/message/latest",
    "its event": "/api/v1/message/latest/event",
    "its deliveries": "/api/v1/message/latest/deliveries",
    "its HTML": "/view/latest.html",
    "the sinks": "/api/v1/sinks",
    "the figures": "/api/v1/stats",
    "who am I": "/api/v1/me",
    "the page": "/",
}


async def costs(peer: MailbellInbox, requests: int) -> None:
    """CPU milliseconds of the server for each kind of request."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{peer.web}") as http:
        for what, path in CALLS.items():
            await ask(http, path)
            before, began = cpu_seconds(peer.process.pid), time.perf_counter()
            for _ in range(requests):
                await ask(http, path)
            cpu = (cpu_seconds(peer.process.pid) - before) / requests * 1000
            took = (time.perf_counter() - began) / requests * 1000
            print(f"{what:24} {cpu:6.2f} ms of CPU, answered in {took:6.2f} ms", flush=True)


async def ask(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(path) as response:
        await response.read()
        assert response.status == 200, path


@contextlib.asynccontextmanager
async def readers(peer: MailbellInbox) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{peer.web}") as http:
        tasks = [asyncio.create_task(listen(http)) for _ in range(PAGES)]
        tasks += [asyncio.create_task(follow(http)), asyncio.create_task(look(http))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def listen(http: aiohttp.ClientSession) -> None:
    async with http.ws_connect("/api/events", max_msg_size=0) as socket:
        async for _ in socket:
            pass


async def follow(http: aiohttp.ClientSession) -> None:
    async with http.get("/api/v1/events", timeout=aiohttp.ClientTimeout(None)) as response:
        async for _ in response.content.iter_any():
            pass


async def look(http: aiohttp.ClientSession) -> None:
    paths = list(CALLS.values())[:3]
    while True:
        for path in paths:
            await asyncio.sleep(1 / RATE)
            await ask(http, path)


async def share(peer: MailbellInbox, mails: int) -> list[float]:
    """The percentage of its rate that SMTP keeps, in three turns, each beside one without readers."""

    def rate() -> float:
        return measured(peer, mails, KEPT)["rate"]

    shares = []
    for _ in range(3):
        alone = await asyncio.to_thread(rate)
        async with readers(peer):
            beside = await asyncio.to_thread(rate)
        print(f"SMTP alone {alone:,.0f} mails/s, beside readers {beside:,.0f}", flush=True)
        shares.append(100 * beside / alone)
    return shares


async def arrivals(peer: MailbellInbox, mails: int) -> float:
    """How many ms after the final dot a page that is open has been told of a mail: 99 of 100 within these."""
    times, told = Times(), dict[str, int]()
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{peer.web}") as http,
        http.ws_connect("/api/events", max_msg_size=0) as socket,
    ):
        sending = asyncio.create_task(paced(peer.port, mails, ARRIVING, times))
        async with asyncio.timeout(SECONDS):
            while len(told) < mails:
                event = await socket.receive_json()
                if event["Type"] == "new":
                    told[event["Data"]["Subject"]] = time.monotonic_ns()
        await sending
    return percentiles([(told[subject] - dot) / 1e6 for subject, dot in times.dot.items()])["p99"]


async def main(mails: int, requests: int) -> dict[str, list[float]]:
    peer = MailbellInbox()
    await asyncio.to_thread(peer.start)
    try:
        arrived = await arrivals(peer, 200)
        await asyncio.to_thread(send, peer.port, 1000, KEPT)
        await costs(peer, requests)
        kept = await share(peer, mails)
    finally:
        await asyncio.to_thread(peer.stop)
    print(f"a new mail is told to the page within {arrived:.0f} ms (p99)")
    print(f"SMTP keeps {statistics.median(kept):.0f} % of its rate beside readers; {GOAL:.0f} % is wanted")
    return {"web.arrival": [arrived], "web.readers": kept}


if __name__ == "__main__":
    parser = results.options("web", __doc__)
    parser.add_argument("--mails", type=int, help="how many make a turn of the load")
    parser.add_argument("--requests", type=int, help="how many of each kind")
    options = parser.parse_args()
    mails, requests = (5000, 200) if options.full else (2000, 50)
    try:
        needed("smtp-source")
    except Unavailable as reason:
        raise SystemExit(str(reason)) from None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(main(options.mails or mails, options.requests or requests))
    results.figures("web", found, publish=options.publish)
