"""A server that is measured: a program of its own on 127.0.0.1. All are started, asked and ended alike."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from bench.processes import cpu_seconds, family
from tests.tools import SYSTEM_PATH, find, free_port

SECONDS = 30


class Unavailable(Exception):
    """This peer can't run here; the message says why."""


class Peer:
    """A server to measure. `stores` says where a mail is at the 250; `remark` is for the reader."""

    name: str
    stores = "nowhere"
    remark = ""
    process: subprocess.Popen[bytes]

    def __init__(self) -> None:
        self.port = free_port()
        # Not /tmp, which may be memory, where an fsync costs nothing.
        self.folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))
        self.working = self.folder
        """The folder that its processes are in, which their relative paths are below."""

        self.output = self.folder / "output"

    def command(self) -> list[str]:
        """Return the command that serves on `port` with its files in `folder`, or raise Unavailable."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return what the command finds in its environment on top of ours."""
        return {}

    def version(self) -> str:
        """Return which version this is."""
        raise NotImplementedError

    def count(self) -> int | None:
        """Return how many mails it has taken; asked after its end. None where that can't be known."""
        return None

    def subjects(self) -> list[str]:
        """Return the subject of each mail that is in its files; asked after its end."""
        return []

    def start(self) -> None:
        """Start, and return once it greets."""
        command = self.command()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=os.environ | {"PATH": SYSTEM_PATH} | self.environment(),
            )
        self.wait_for_greeting()

    def end(self) -> None:
        """End it; its files stay."""
        end(self.process)

    def kill(self) -> None:
        """End it and its descendants with kill -9, at once."""
        root = self.process.pid
        for pid in [root, *family(root) - {root}]:  # the root first: it would start its descendants again
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int | None:
        """End it, remove its files, and return how many mails it says it has taken."""
        self.end()
        taken = self.count()
        self.remove()
        return taken

    def remove(self) -> None:
        """Remove its files, and its process should it still run."""
        if hasattr(self, "process") and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder)

    def wait_for_greeting(self) -> None:
        deadline = time.monotonic() + SECONDS
        while not greets(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                end(self.process)
                said = self.output.read_text().strip()
                raise Unavailable(f"does not start: {said.rpartition(chr(10))[2] or 'it says nothing'}")
            time.sleep(0.02)

    def settle(self) -> None:
        """Wait until it has nothing left to do, so that this does not weigh on who is measured next."""
        deadline = time.monotonic() + 2 * SECONDS
        before = -1.0
        while (now := cpu_seconds(self.process.pid)) - before > 0.01 and time.monotonic() < deadline:
            before = now
            time.sleep(0.2)


def needed(command: str, remedy: str = "sudo scripts/apt bench") -> str:
    """Return the path of a command, or raise Unavailable."""
    path = find(command)
    if path is None:
        raise Unavailable(f"{Path(command).name} is not installed: {remedy}")
    return path


def said(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(
        [find(command[0]) or command[0], *command[1:]],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    ).stdout.strip()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, whatever that takes, and wait until it is gone."""
    process.terminate()
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def await_port(port: int) -> None:
    """Wait until something listens on the port."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise Unavailable(f"does not listen on port {port} within {SECONDS} s")


def greets(port: int) -> bool:
    """Whether an SMTP server answers on the port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.settimeout(5)
        return connection.recv(3) == b"220"
    return False
