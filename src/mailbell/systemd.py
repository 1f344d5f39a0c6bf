"""systemd's protocols: to say that we are ready and alive, and to take over sockets that it listens on.

Sources: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3). Elsewhere, every call does nothing.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Self

FIRST = 3
"""The number of the first descriptor that is handed over."""

logger = logging.getLogger("mailbell")


def notify(*lines: str) -> None:
    """Tell the service manager, where there is one: `READY=1`, `STATUS=…`, `STOPPING=1`."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
            sending.setblocking(False)
            sending.connect("\0" + address[1:] if address.startswith("@") else address)
            sending.sendall("\n".join(lines).encode())
    except OSError as error:
        logger.error("systemd could not be told %s: %s", ", ".join(lines), error.strerror)


def reloading() -> None:
    """Tell that a reload begins; READY=1 ends it."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_interval() -> float | None:
    """Seconds between two signs of life that are asked for, half of what is allowed; None: none are."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    asked = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 2e6 if asked and microseconds.isdecimal() and int(microseconds) else None


async def keep_watch(interval: float) -> None:
    """Give signs of life, for ever, from the loop that serves: where it hangs there are none."""
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)


class Sockets:
    """The listening sockets that systemd has handed over, each for an I/O server to take."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Take them out of the environment, so that no child takes them for its own."""
        ours = environment.pop("LISTEN_PID", "") == str(os.getpid())
        count, names = environment.pop("LISTEN_FDS", ""), environment.pop("LISTEN_FDNAMES", "").split(":")
        numbers = range(FIRST, FIRST + int(count)) if ours and count.isdecimal() else range(0)
        self._left: list[tuple[str, socket.socket]] = []
        for index, number in enumerate(numbers):
            os.set_inheritable(number, False)
            listening = socket.socket(fileno=number)
            listening.setblocking(False)
            self._left.append((names[index] if index < len(names) else "", listening))

    def take(self, id_: str, port: int) -> list[socket.socket]:
        """Those whose FileDescriptorName is the I/O server's ID, or whose port is its own."""
        taken = [(name, each) for name, each in self._left if name == id_ or _port(each) == port]
        self._left = [each for each in self._left if each not in taken]
        return [each for _, each in taken]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of those that nobody has taken, and say so."""
        for name, each in self._left:
            logger.error(
                "systemd's socket %s (port %s) is for no I/O server; FileDescriptorName= names one by its ID",
                name or "without a name",
                _port(each) or "none",
            )
            each.close()
        self._left.clear()


def _port(listening: socket.socket) -> int:
    """The TCP port; 0 for a socket of another kind."""
    if listening.family not in (socket.AF_INET, socket.AF_INET6) or listening.type != socket.SOCK_STREAM:
        return 0
    port: int = listening.getsockname()[1]
    return port
