"""Finding what a test needs from the machine, and leaving the test out where it is not there."""

import os
import secrets
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parent.parent
SYSTEM_PATH = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
"""Debian keeps Postfix's programs and the brokers in sbin, which is not on everybody's PATH."""

PORTS = range(20_000, 32_768)
"""For tests: none of those that Linux gives to connections, which begin at 32768 as a rule."""


def find(command: str) -> str | None:
    """Return the path of a command, or None."""
    return shutil.which(command, path=SYSTEM_PATH)


def need(command: str) -> str:
    """Return the path of a command; without it the test is left out."""
    return find(command) or leave_out(f"{command} is not installed: sudo scripts/apt test")


def need_module(name: str) -> None:
    """Leave the test out unless the package of Node's that it needs is installed."""
    if not (ROOT / "tests/e2e/node/node_modules" / name).is_dir():
        leave_out(f"Node's package {name} is not installed: make test does it")


def need_root() -> None:
    """Leave the test out unless it runs as root."""
    if os.geteuid() != 0:
        leave_out("only root may do this")


def leave_out(reason: str) -> NoReturn:
    """Skip the running test. On CI fail it: a test that is left out there proves nothing to anybody."""
    import pytest  # the benchmarks use this file, too, and have none

    if os.environ.get("CI") == "true":
        pytest.fail(f"on CI nothing is skipped: {reason}")
    pytest.skip(reason)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, and that no connection gets before somebody does."""
    while True:
        port = secrets.choice(PORTS)  # hypothesis would have random give the same ones again and again
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
