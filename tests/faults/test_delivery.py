"""kill -9 under load, with several sinks: every mail that got its 250 reaches every sink, and none is parked.

Then the same on a disk that fills up, and while the wall clock is set. The moments are random: there is
nothing to await.
"""

import asyncio
import json
import random
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from tests.e2e.test_kill import SCRIPT, more, send_for_ever
from tests.service import Service, configure, start
from tests.sinks.mosquitto import Watcher, brokering, watching
from tests.sinks.receiver import Receiver, answer, receiving
from tests.tools import find, leave_out, need_root

CLIENTS = 4
REST = 0.02
"""Seconds between two mails of a client: as many as a process an event can follow."""

PATIENCE = 120.0
FAKETIME = Path("/usr/lib")
MIB = 2**20

SINKS = """
[sinks.note]
type = "script"
path = "note.py"
[sinks.run]
type = "command"
argv = ["sh", "-c", 'printf "%s\\n" "$MAILBELL_SUBJECT" >> {folder}/ran']
[sinks.hook]
type = "webhook"
url = "{url}"
"""
MQTT = '[sinks.broker]\ntype = "mqtt"\nurl = "mqtt://127.0.0.1:{port}"\n'

unavailable = answer(503, retry_after="0")


class House:
    """A config with its sinks, what they have seen, the load, and lives of the server."""

    def __init__(
        self, folder: Path, receiver: Receiver, watcher: Watcher | None, data: Path | None, ioserver: str
    ) -> None:
        self.folder = folder
        self.data = data or folder / "data"
        self.receiver = receiver
        self.watcher = watcher
        self.acknowledged: set[str] = set()
        self.lines: list[str] = []
        self.service: Service | None = None
        files = {"note.py": SCRIPT.format(path=str(folder / "seen"))}
        sinks = SINKS.format(folder=folder, url=receiver.url)
        if watcher is not None:
            sinks += MQTT.format(port=watcher.port)
        self.config, self.port = configure(folder, sinks, ioserver, files)
        self.config.write_text(self.config.read_text().replace('"data"', json.dumps(str(self.data))))

    async def life(self, **environment: str) -> Service:
        """Start, and wait for the first mails."""
        service = self.service = await start(self.config, self.port, **environment)
        await service.line("SMTP on")
        return service

    async def kill(self, service: Service) -> None:
        """No last words; sometimes the receiver has a moment of weakness at that time, too."""
        self.receiver.plan += [unavailable] * random.randint(0, 3)
        await service.kill()
        self.lines += service.lines

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Mails come in all the time."""
        tasks = [
            asyncio.create_task(send_for_ever(self.port, f"c{n}", self.acknowledged, REST))
            for n in range(CLIENTS)
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def seen(self) -> dict[str, set[str]]:
        """Subjects by sink."""
        seen = {
            "note": lines(self.folder / "seen"),
            "run": lines(self.folder / "ran"),
            "hook": {json.loads(each.body)["subject"] for each in self.receiver.requests},
        }
        if self.watcher is not None:
            events = [each for each in self.watcher.seen if each.topic.endswith("/event")]
            seen["broker"] = {json.loads(each.payload)["subject"] for each in events}
        return seen

    async def finish(self, service: Service) -> None:
        """Everything that was acknowledged has to reach every sink; nothing is parked."""
        try:
            async with asyncio.timeout(PATIENCE):
                while any(self.acknowledged - each for each in self.seen().values()):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        except TimeoutError:
            lost = {name: len(self.acknowledged - each) for name, each in self.seen().items()}
            said = [line for line in service.lines if "IO MONITOR" not in line]
            pytest.fail(f"lost of {len(self.acknowledged)}: {lost}\n" + "\n".join(said[-20:]))
        assert await service.stop() == 0
        assert not [line for line in [*self.lines, *service.lines] if "is parked" in line]
        with closing(sqlite3.connect(self.data / "delivery.db")) as delivery:
            assert delivery.execute("select count(*) from parked").fetchone() == (0,)
        assert len(self.acknowledged) > CLIENTS


def lines(path: Path) -> set[str]:
    return set(path.read_text().splitlines()) if path.exists() else set()


@asynccontextmanager
async def house(folder: Path, data: Path | None = None, ioserver: str = "") -> AsyncIterator[House]:
    """Script, command, webhook, and MQTT where there is a broker to have. `ioserver`: its options, TOML."""
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        watcher = None
        if find("mosquitto"):
            broker = await stack.enter_async_context(brokering(folder))
            watcher = await stack.enter_async_context(watching(broker.port))
        it = House(folder, receiver, watcher, data, ioserver)
        try:
            yield it
        finally:
            if it.service is not None and it.service.process.returncode is None:
                await it.service.kill()


async def killed(folder: Path, times: int) -> None:
    async with house(folder) as it:
        async with it.load():
            for _ in range(times):
                service = await it.life()
                await more(it.acknowledged, 1)
                await asyncio.sleep(random.uniform(0, 0.6))
                await it.kill(service)
            service = await it.life()
            await more(it.acknowledged, 20)
        await it.finish(service)


async def on_a_full_disk(folder: Path, disk: Path, times: int) -> None:
    """A ballast takes what is left at random moments, down to the last octet, and goes again."""
    ballast = disk / "ballast"
    async with house(folder, disk / "data") as it:
        async with it.load():
            for _ in range(times):
                service = await it.life()
                await more(it.acknowledged, 3)
                await asyncio.to_thread(fill, ballast)
                await service.line("mail is refused|disk")
                await asyncio.sleep(random.uniform(0, 0.6))
                if random.random() < 0.5:
                    await it.kill(service)
                    ballast.unlink()
                else:
                    ballast.unlink()
                    await more(it.acknowledged, 3)
                    await it.kill(service)
            service = await it.life()
            await more(it.acknowledged, 20)
        await it.finish(service)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (MIB, 4096):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass


async def while_the_clock_is_set(folder: Path, times: int) -> None:
    """By months, forth and back. Children have it, too."""
    library = next(FAKETIME.glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        leave_out("libfaketime is not installed: sudo scripts/apt test")
    hand = folder / "clock"
    clock = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(hand),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }
    hand.write_text("+0")
    async with house(folder) as it:
        async with it.load():
            for _ in range(times):
                service = await it.life(**clock)
                for _ in range(3):
                    it.receiver.plan += [unavailable] * 3
                    await more(it.acknowledged, 5)
                    hand.write_text(random.choice(("+0", "-40d", "+40d", "-1h", "+1h", "+10y")))
                await it.kill(service)
            service = await it.life(**clock)
            await more(it.acknowledged, 20)
        await it.finish(service)
    years = {line[:4] for line in it.lines if "IO MONITOR" in line}
    assert len(years) > 1 or times < 5, "the clock was set"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, in memory."""
    need_root()
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=90m", "none", str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        leave_out(f"no disk to fill: {done.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", str(path)], check=True)


async def test_a_few_kills(tmp_path: Path) -> None:
    await killed(tmp_path, 4)


async def test_a_full_disk(tmp_path: Path, disk: Path) -> None:
    await on_a_full_disk(tmp_path, disk, 1)


async def test_a_clock_that_is_set(tmp_path: Path) -> None:
    await while_the_clock_is_set(tmp_path, 2)


@pytest.mark.faults
async def test_a_hundred_kills(tmp_path: Path) -> None:
    await killed(tmp_path, 100)


@pytest.mark.faults
async def test_a_disk_that_fills_up_again_and_again(tmp_path: Path, disk: Path) -> None:
    await on_a_full_disk(tmp_path, disk, 20)


@pytest.mark.faults
async def test_a_clock_that_is_set_again_and_again(tmp_path: Path) -> None:
    await while_the_clock_is_set(tmp_path, 30)
