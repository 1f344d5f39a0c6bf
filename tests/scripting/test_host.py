"""The child as a program of its own: limits, and what it does when the parent goes."""

import json
import resource
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mailbell.scripting.process import COMMAND
from mailbell.scripting.version import Limits, encode, load_request


class Child:
    """A child process and our end of its socket."""

    def __init__(self, popen: subprocess.Popen[bytes], end: socket.socket) -> None:
        self.popen = popen
        self._end = end
        self._lines = end.makefile("rb")

    def ask(self, request: dict[str, Any]) -> list[Any]:
        """Send a request; return what comes up to the answer."""
        self._end.sendall(encode(request))
        received = [json.loads(self._lines.readline())]
        while not isinstance(received[-1], dict):
            received.append(json.loads(self._lines.readline()))
        return received

    def load(self, name: str, source: str, limits: Limits | None = None) -> list[Any]:
        return self.ask(load_request(Path(name), source, limits or Limits()) | {"active": True})

    def fire(self) -> list[Any]:
        return self.ask({"do": "fire", "kind": "IO", "key": "k", "value": "v", "active": True})

    def hang_up(self) -> int:
        self._lines.close()
        self._end.close()
        return self.popen.wait(10)


@contextmanager
def child(**more: Any) -> Iterator[Child]:
    ours, theirs = socket.socketpair()
    with (
        ours,
        theirs,
        subprocess.Popen(COMMAND, stdin=theirs.fileno(), stderr=subprocess.PIPE, **more) as popen,
    ):
        theirs.close()
        try:
            yield Child(popen, ours)
        finally:
            popen.kill()


def test_load_and_fire() -> None:
    with child() as host:
        [loaded] = host.load("s.py", "def IOEvent(n, v):\n  messageLog(v); varSet(n, v); 1 / 0")
        assert loaded == {"problems": [], "handlers": [["IOEvent", True]], "variables": {}}
        assert host.fire() == [
            [0, "v"],
            [1, "s.py:2: ZeroDivisionError: division by zero"],
            {"variables": {"k": "v"}, "fatal": None},
        ]
        assert host.hang_up() == 0


def test_only_what_is_kept_is_called() -> None:
    with child() as host:
        request = load_request(Path("s.js"), "function IOEvent() {}\nfunction StartupEvent() {}", Limits())
        [loaded] = host.ask(request | {"active": True, "keep": ["StartupEvent"]})
        assert loaded["handlers"] == [["StartupEvent", False]]


def test_processor_time_is_limited_during_a_call_only() -> None:
    code = """import resource
def limit(): return resource.getrlimit(resource.RLIMIT_CPU)[0]
before = limit()
def IOEvent(n, v): messageLog((before, 10 <= limit() <= 13))
"""
    with child() as host:
        host.load("s.py", code)
        expected = [0, f"({resource.RLIM_INFINITY}, True)"]
        assert host.fire()[0] == host.fire()[0] == expected


def test_memory_is_limited() -> None:
    code = "def IOEvent(n, v):\n  messageLog(len(bytearray(60_000_000)))\n  bytearray(200_000_000)"
    with child() as host:
        host.load("s.py", code, Limits(memory=64_000_000))
        assert host.fire() == [
            [0, "60000000"],
            [1, "s.py:3: MemoryError"],
            {"variables": {}, "fatal": "MemoryError"},
        ]


def test_limits_that_are_set_already_are_respected() -> None:
    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    with child(preexec_fn=lower) as host:
        host.load(
            "s.py", "import resource\ndef IOEvent(n, v): messageLog(resource.getrlimit(resource.RLIMIT_CPU))"
        )
        assert host.fire()[0] == [0, "(5, 5)"]


@pytest.mark.parametrize("code", ["messageLog('x')", "import time; time.sleep(0.1); messageLog('x')"])
def test_it_ends_with_the_connection(code: str) -> None:
    with child() as host:
        host.load("s.py", f"def IOEvent(n, v):\n  {code}")
        host._end.sendall(encode({"do": "fire", "kind": "IO", "key": "k", "value": "v", "active": True}))
        assert host.hang_up() in (0, 1)
