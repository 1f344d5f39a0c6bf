"""Years of running, in two hours: mail, rude clients, readers, reloads, retention, a receiver with bad days.

Memory, file descriptors and threads of both processes have to stay as they are once all is warm, and every
mail has to reach every sink. MAILBELL_SOAK_SECONDS makes it longer or shorter.
"""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from tests.e2e.test_kill import send_for_ever
from tests.faults.test_delivery import CLIENTS, house, unavailable
from tests.service import PATIENCE, Service
from tests.tools import free_port

SOAK = float(os.environ.get("MAILBELL_SOAK_SECONDS", "7200"))
SAMPLES = 120
REST = 0.2
"""Seconds between two mails of a client, or two visits."""

VISIT = 60.0
"""Seconds that a visit may take."""

THREADS = 16
"""Slots for all: the clients keep theirs, and whoever finds none for half a minute is refused."""

MIB = 2**20

RUDE = (
    b"",
    b"GET / HTTP/1.1\r\n\r\n",
    b"EHLO x\r\nSTARTTLS\r\nnonsense",
    b"EHLO x\r\nAUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@lan>\r\nRCPT TO:<b@lan>\r\nDATA\r\nhalf a mess",
    b"HELP\r\n" * 500 + b"NONSENSE\r\n" * 20,
)
PAGES = (
    "api/v1/messages?limit=50",
    "api/v1/search?query=hello",
    "api/v1/search?query=subject:c1%20-has:attachment",
    "api/v1/message/latest",
    "api/v1/message/latest/event",
    "api/v1/sessions",
    "api/v1/sinks",
    "api/v1/status",
    "metrics",
    "",
)


class Sample(NamedTuple):
    """What both processes hold."""

    memory: int
    files: int
    threads: int


def sample(service: Service) -> Sample:
    """Look at the receiving and the delivering process."""
    parent = Path(f"/proc/{service.process.pid}")
    children = (parent / f"task/{parent.name}/children").read_text().split()
    both = [parent, *(Path("/proc") / each for each in children)]
    status = [
        dict(line.split(":", 1) for line in (each / "status").read_text().splitlines()) for each in both
    ]
    return Sample(
        sum(int(each["VmRSS"].split()[0]) * 1024 for each in status),
        sum(len(list((each / "fd").iterdir())) for each in both),
        sum(int(each["Threads"]) for each in status),
    )


async def now_and_then(work: Callable[[], Awaitable[None]], rest: float) -> None:
    """For ever, at once and after each rest. What hangs is a fault; a machine that is busy is none."""
    while True:
        async with asyncio.timeout(VISIT):
            await work()
        await asyncio.sleep(rest)


async def be_rude(port: int) -> None:
    """Say something that is no mail, and go or be cut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        assert (await reader.readline()).startswith(b"220")
        writer.write(random.choice(RUDE))
        with suppress(TimeoutError, ConnectionError):  # it is for the server to cut the line, or to wait
            await writer.drain()
            async with asyncio.timeout(0.2):
                await reader.read()
    finally:
        writer.transport.abort()


async def read(http: aiohttp.ClientSession, url: str) -> None:
    """Look at the page's data, and follow the events for a moment."""
    async with http.get(f"{url}/{random.choice(PAGES)}") as response:
        assert response.status == 200, f"{response.url}: {response.status}"
        await response.read()
    async with http.get(f"{url}/api/v1/events") as response:
        await response.content.readline()


async def has_mail(http: aiohttp.ClientSession, url: str) -> bool:
    """Whether the inbox has any: `latest` is not found else."""
    async with http.get(f"{url}/api/v1/messages?limit=1") as response:
        return bool((await response.json())["total"])


@pytest.mark.parametrize("seconds", [6.0, pytest.param(SOAK, marks=pytest.mark.faults)])
async def test_nothing_grows_and_nothing_is_lost(tmp_path: Path, seconds: float) -> None:
    web = free_port()
    async with AsyncExitStack() as stack:
        it = await stack.enter_async_context(house(tmp_path, ioserver=f"threads = {THREADS}"))
        tables = f'[web]\nlisten = "127.0.0.1:{web}"\n[journal]\nmax_size = "32 MiB"\n'
        it.config.write_text(it.config.read_text() + tables)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        service = await it.life()
        await service.line("API on")
        first = asyncio.create_task(send_for_ever(it.port, "first", it.acknowledged, REST))
        async with asyncio.timeout(PATIENCE):
            while not await has_mail(http, f"http://127.0.0.1:{web}"):  # noqa: ASYNC110
                await asyncio.sleep(REST)

        async def reload() -> None:
            service.process.send_signal(signal.SIGHUP)

        async def weaken() -> None:
            it.receiver.plan += [unavailable] * random.randint(1, 20)

        works = (
            (lambda: be_rude(it.port), REST),
            (lambda: read(http, f"http://127.0.0.1:{web}"), REST),
            (reload, seconds / 12),
            (weaken, seconds / 24),
        )
        tasks = [first, *(asyncio.create_task(now_and_then(*each)) for each in works)]
        tasks += [
            asyncio.create_task(send_for_ever(it.port, f"c{number}", it.acknowledged, REST))
            for number in range(CLIENTS)
        ]
        samples = []
        for _ in range(SAMPLES):
            ended, _ = await asyncio.wait(
                tasks, timeout=seconds / SAMPLES, return_when=asyncio.FIRST_COMPLETED
            )
            for each in ended:
                each.result()  # says what went wrong: by itself none ends
            samples.append(sample(service))
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [each for each in done if not isinstance(each, asyncio.CancelledError)]
        await it.finish(service)
    warm, late = samples[SAMPLES // 4 : SAMPLES // 2], samples[-SAMPLES // 4 :]
    print(f"{len(it.acknowledged)} mails in {seconds:.0f} s;", f"warm {warm[-1]}, late {late[-1]}")
    most, least = (max(each.memory for each in part) for part in (late, warm))
    assert most < least * 1.1 + (0 if seconds >= 1800 else 64 * MIB), (
        f"{least / MIB:.0f} → {most / MIB:.0f} MiB"
    )
    assert max(each.files for each in late) <= max(each.files for each in warm) + 30
    assert max(each.threads for each in late) <= max(each.threads for each in warm) + 4
