"""Load on a server of 127.0.0.1, and what it cost the server.

Plain mails come from Postfix's smtp-source, in C, so that the generator takes little of the machine. What it
can't do, attachments, bursts and a steady rate, comes from clients of our own, which also take times.
"""

import asyncio
import functools
import itertools
import random
import statistics
import subprocess
import time
from base64 import encodebytes
from collections.abc import Coroutine, Iterable, Iterator
from typing import NamedTuple

import uvloop

from bench.peer import Peer, needed
from bench.processes import cpu_seconds, forget_peak, peak_memory

SENDER = "camera@example.com"
RECIPIENT = "alarms@example.com"
LIMIT = 300
"""Seconds after which a run is given up."""


class Load(NamedTuple):
    """How a server is loaded; `octets` is the size of a plain mail, or of the picture that is attached."""

    clients: int = 20
    octets: int = 1024
    attached: bool = False
    keep: bool = False
    """Each client keeps its connection for all of its mails."""

    burst: int = 1
    """How many mails a client sends at once, each on a connection of its own, before it waits for all."""

    rate: float = 0
    """Mails a second, sent on time whatever the server does meanwhile; 0: as fast as it takes them."""

    rest: int = 0
    """Each client rests up to so many seconds after a mail, half of that on average."""

    @property
    def plain(self) -> bool:
        return not self.attached and self.burst == 1 and not self.rate


KEPT = Load(keep=True)


class Times:
    """When each mail's final dot was sent and its 250 was there, by subject, in ns of the machine's clock."""

    def __init__(self) -> None:
        self.dot: dict[str, int] = {}
        self.reply: dict[str, int] = {}

    def milliseconds(self) -> list[float]:
        return [(reply - self.dot[subject]) / 1e6 for subject, reply in self.reply.items()]


def measured(peer: Peer, mails: int, load: Load) -> dict[str, float]:
    """Load a server once.

    Returns mails a second (`rate`), CPU seconds a mail (`cpu`), octets at the peak (`memory`), and from our
    own clients milliseconds from the final dot to the 250 (`p50`, `p95`, `p99`, `most`).
    """
    pid = peer.process.pid
    forget_peak(pid)
    cpu, start = cpu_seconds(pid), time.perf_counter()
    times = send(peer.port, mails, load)
    rate = mails / (time.perf_counter() - start)
    peer.settle()
    found = {"rate": rate, "cpu": (cpu_seconds(pid) - cpu) / mails, "memory": peak_memory(pid)}
    return found | (percentiles(times.milliseconds()) if times else {})


def percentiles(values: list[float]) -> dict[str, float]:
    at = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": at[49], "p95": at[94], "p99": at[98], "most": max(values)}


def send(port: int, mails: int, load: Load) -> Times | None:
    """Send so many mails; each must be answered with a 250, else OSError or CalledProcessError."""
    if load.plain:
        smtp_source(port, mails, load)
        return None
    times = Times()
    on_uvloop(paced(port, mails, load, times) if load.rate else bursts(port, iter(range(mails)), load, times))
    return times


def smtp_source(port: int, mails: int, load: Load) -> None:
    options = {"-s": load.clients, "-m": mails, "-l": load.octets, "-M": "localhost"}
    options |= {"-f": SENDER, "-t": RECIPIENT}
    if load.rest:
        options["-R"] = load.rest
    words = [str(word) for pair in options.items() for word in pair] + ["-d"] * load.keep
    # Python's own timeout would look every 50 ms only whether it is done.
    command = ["timeout", str(LIMIT), needed("smtp-source"), *words, f"127.0.0.1:{port}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def on_uvloop(sending: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(sending, LIMIT))


async def paced(port: int, mails: int, load: Load, times: Times) -> None:
    """Send at a steady rate, each mail on a connection of its own."""
    start = time.perf_counter()
    async with asyncio.TaskGroup() as sending:
        for number in range(mails):
            await asyncio.sleep(start + number / load.rate - time.perf_counter())
            sending.create_task(deliver(port, [mail(number, load)], times))


async def bursts(port: int, numbers: Iterator[int], load: Load, times: Times) -> None:
    """Clients that send one burst after the other; on `keep` a burst is one mail of an only connection."""

    async def client() -> None:
        if load.keep:
            await deliver(port, (mail(number, load) for number in numbers), times)
            return
        while burst := list(itertools.islice(numbers, load.burst)):
            await asyncio.gather(*(deliver(port, [mail(number, load)], times) for number in burst))

    async with asyncio.TaskGroup() as sending:
        for _ in range(load.clients):
            sending.create_task(client())


async def deliver(port: int, mails: Iterable[tuple[str, bytes]], times: Times) -> None:
    """Send these mails, each a subject and its octets, over one connection; note the times."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def reply(expected: bytes) -> None:
        while (line := await reader.readline())[3:4] == b"-":
            pass
        if not line.startswith(expected):
            raise OSError(f"expected {expected!r}, got {line!r}")

    async def say(line: str, expected: bytes) -> None:
        writer.write(f"{line}\r\n".encode())
        await reply(expected)

    try:
        await reply(b"220")
        await say("EHLO localhost", b"250")
        for subject, octets in mails:
            await say(f"MAIL FROM:<{SENDER}>", b"250")
            await say(f"RCPT TO:<{RECIPIENT}>", b"250")
            await say("DATA", b"354")
            writer.write(octets)
            await writer.drain()
            times.dot[subject] = time.monotonic_ns()
            await say(".", b"250")
            times.reply[subject] = time.monotonic_ns()
        await say("QUIT", b"221")
    finally:
        writer.close()


def mail(number: int, load: Load) -> tuple[str, bytes]:
    """Return a mail's subject and the mail as it travels, without the final dot."""
    subject = f"bench-{number}"
    return subject, picture(subject, load.octets) if load.attached else message(subject, load.octets)


def message(subject: str, octets: int) -> bytes:
    """A mail of text, of about so many octets."""
    line = b"0123456789abcdef" * 4 + b"\r\n"
    return header(subject) + b"\r\n" + line * (octets // len(line))


def picture(subject: str, octets: int) -> bytes:
    """A camera's mail: two lines of text and a JPEG that makes it about so many octets."""
    return header(subject) + b"MIME-Version: 1.0\r\n" + _picture(octets)


@functools.cache
def _picture(octets: int) -> bytes:
    jpeg = b"\xff\xd8\xff\xe0" + random.Random(1).randbytes(octets * 3 // 4)
    lines = (
        b'Content-Type: multipart/mixed; boundary="=_b"',
        b"\r\n--=_b\r\nContent-Type: text/plain; charset=utf-8",
        b"\r\nMotion detected\r\nCamera 1\r\n--=_b\r\nContent-Type: image/jpeg; name=snap.jpg",
        b"Content-Disposition: attachment; filename=snap.jpg\r\nContent-Transfer-Encoding: base64\r\n",
        encodebytes(jpeg).replace(b"\n", b"\r\n") + b"--=_b--\r\n",
    )
    return b"\r\n".join(lines)


def header(subject: str) -> bytes:
    return f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: {subject}\r\n".encode()
