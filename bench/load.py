"""Load on a server of 127.0.0.1: as fast as it goes with Postfix's smtp-source, or at a steady rate."""

import asyncio
import subprocess
import time
from typing import NamedTuple

from bench.peers import Peer, cpu_seconds, needed

SENDER = "camera@example.com"
RECIPIENT = "alarms@example.com"
LIMIT = 120


class Burst(NamedTuple):
    """One run of smtp-source: mails a second, and what each cost the server in CPU seconds."""

    rate: float
    cpu: float


def burst(peer: Peer, mails: int, *, clients: int, size: int, keep: bool) -> Burst:
    """Send as fast as the server takes it; on `keep` each client keeps its connection for all of its mails.

    smtp-source ends with an error as soon as one mail is not taken with a 250.
    """
    command = [
        needed("smtp-source"),
        "-s",
        str(clients),
        "-m",
        str(mails),
        "-l",
        str(size),
        "-M",
        "localhost",
    ]
    command += ["-f", SENDER, "-t", RECIPIENT, *(["-d"] if keep else []), f"127.0.0.1:{peer.port}"]
    cpu, start = cpu_seconds(peer.process.pid), time.perf_counter()
    subprocess.run(command, check=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    peer.settle()
    return Burst(mails / seconds, (cpu_seconds(peer.process.pid) - cpu) / mails)


class Pace(NamedTuple):
    """When each mail's final dot was sent and its 250 was there, by subject, in ns of the machine's clock."""

    dot: dict[str, int]
    reply: dict[str, int]


async def paced(port: int, rate: float, seconds: float, size: int) -> Pace:
    """Send mails at a steady rate, each on a connection of its own, whatever the server does meanwhile."""
    loop, pace, start = asyncio.get_running_loop(), Pace({}, {}), time.perf_counter()
    sending: list[asyncio.Task[None]] = []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(start + number / rate - time.perf_counter())
        sending.append(loop.create_task(send_one(port, f"bench-{number}", size, pace)))
    await asyncio.gather(*sending)
    return pace


async def send_one(port: int, subject: str, size: int, pace: Pace) -> None:
    """Send one mail and note its times."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def reply(expected: bytes) -> None:
        while (line := await reader.readline())[3:4] == b"-":
            pass
        if not line.startswith(expected):
            raise OSError(f"expected {expected!r}, got {line!r}")

    await reply(b"220")
    for command, expected in (
        ("EHLO localhost", b"250"),
        (f"MAIL FROM:<{SENDER}>", b"250"),
        (f"RCPT TO:<{RECIPIENT}>", b"250"),
        ("DATA", b"354"),
    ):
        writer.write(f"{command}\r\n".encode())
        await reply(expected)
    writer.write(message(subject, size))
    pace.dot[subject] = time.monotonic_ns()
    writer.write(b".\r\n")
    await reply(b"250")
    pace.reply[subject] = time.monotonic_ns()
    writer.write(b"QUIT\r\n")
    await reply(b"221")
    writer.close()
    await writer.wait_closed()


def message(subject: str, size: int) -> bytes:
    """Return a message as it travels, with a body of about so many octets."""
    header = f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: {subject}\r\n\r\n"
    line = b"0123456789abcdef" * 4 + b"\r\n"
    return header.encode() + line * (size // len(line))
