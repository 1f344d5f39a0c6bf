"""The API: what a request costs the server in CPU, and what readers cost SMTP.

Run: `python -m bench web [--mails N] [--requests N]`. Readers are pages that are open (a WebSocket each), one
that follows the events, and one that asks for lists, searches and mails at a steady rate.
"""

import argparse
import asyncio
import contextlib
import socket
import statistics
import time
from collections.abc import AsyncIterator

import aiohttp
import uvloop

from bench.load import Pace, burst, send_one
from bench.peers import SECONDS, Mailbell, Unavailable, cpu_seconds, needed
from tests.tools import free_port

GOAL = 90.0
"""% of its rate that SMTP is to keep while there are readers."""

CLIENTS = 20
SIZE = 1024
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


class Reading(Mailbell):
    """mailbell with its web server."""

    def __init__(self) -> None:
        super().__init__()
        self.web = free_port()

    def config(self) -> str:
        return f'{super().config()}[web]\nlisten = "127.0.0.1:{self.web}"\n'

    def wait_for_greeting(self) -> None:
        """The web server comes up a moment after SMTP."""
        super().wait_for_greeting()
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.web), 1):
                return
            time.sleep(0.02)
        raise Unavailable("its web server does not answer")


async def costs(peer: Reading, requests: int) -> None:
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


async def heard(peer: Reading, mails: int = 20) -> None:
    """How long after its 250 a page has heard of a mail."""
    times = []
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{peer.web}") as http,
        http.ws_connect("/api/events") as live,
    ):
        for number in range(mails):
            pace = Pace({}, {})
            await send_one(peer.port, f"heard-{number}", SIZE, pace)
            while (await live.receive_json())["Type"] != "new":
                pass
            times.append((time.monotonic_ns() - pace.reply[f"heard-{number}"]) / 1e6)
    times.sort()
    print(f"a page hears of a mail {times[len(times) // 2]:.1f} ms after its 250, at most {times[-1]:.1f} ms")


@contextlib.asynccontextmanager
async def readers(peer: Reading) -> AsyncIterator[None]:
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
    async with http.ws_connect("/api/events", max_msg_size=0) as live:
        async for _ in live:
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


async def share(peer: Reading, mails: int) -> float:
    """The percentage of its rate that SMTP keeps: the median of three turns, each beside one without."""

    def rate() -> float:
        return burst(peer, mails, clients=CLIENTS, size=SIZE, keep=True).rate

    shares = []
    for _ in range(3):
        alone = await asyncio.to_thread(rate)
        async with readers(peer):
            beside = await asyncio.to_thread(rate)
        print(f"SMTP alone {alone:,.0f} mails/s, beside readers {beside:,.0f}", flush=True)
        shares.append(100 * beside / alone)
    return statistics.median(shares)


async def main(mails: int, requests: int) -> None:
    peer = Reading()
    peer.start()
    try:
        await asyncio.to_thread(burst, peer, 1000, clients=CLIENTS, size=SIZE, keep=True)
        await costs(peer, requests)
        await heard(peer)
        kept = await share(peer, mails)
    finally:
        peer.stop()
    verdict = "reached" if kept >= GOAL else "not reached"
    print(f"SMTP keeps {kept:.0f} % of its rate beside readers; the goal, {GOAL:.0f} %, is {verdict}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench web", description=__doc__)
    parser.add_argument("--mails", type=int, default=5000, help="how many make a turn of the load")
    parser.add_argument("--requests", type=int, default=200, help="how many of each kind")
    options = parser.parse_args()
    try:
        needed("smtp-source")
    except Unavailable as reason:
        raise SystemExit(str(reason)) from None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(options.mails, options.requests))
