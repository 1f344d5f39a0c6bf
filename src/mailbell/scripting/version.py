"""Versions of a script: a file is read, parsed and test-run before any of it is let near a mail."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mailbell.errors import ScriptDied, ScriptError
from mailbell.event.convert import ConvertOptions, convert
from mailbell.event.sample import sample
from mailbell.scripting.process import ScriptProcess
from mailbell.scripting.script import IO
from mailbell.scripting.state import IoState

SUFFIXES = (".js", ".py", ".txt")

LARGEST = 4 * 2**20
"""Octets of a script."""


class Limits(msgspec.Struct, frozen=True):
    """What a script may use: seconds for an event, octets of memory, seconds for loading and the test-run."""

    time: float = 10.0
    memory: int = 256 * 2**20
    test: float = 20.0


class Version(msgspec.Struct, frozen=True):
    """The text of a script and what its test-run found: its problems, and the handlers that are left.

    `handlers` tells for each whether a mail can get to it.
    """

    source: str
    problems: tuple[str, ...]
    handlers: Mapping[str, bool]

    @property
    def usable(self) -> bool:
        """Whether it may run: a mail would get to it; or none is meant to, and nothing is wrong with it."""
        return any(self.handlers.values()) or bool(self.handlers and not self.problems)


async def examine(path: Path, limits: Limits, state: IoState) -> Version:
    """Parse and test-run a script in a process of its own. What is wrong with it is among the problems."""
    try:
        source = _read(path)
        answer = await _test_run(path, source, limits, state)
    except ScriptDied as error:
        return Version("", (f"{path}: in the test-run, the script {error}",), {})
    except ScriptError as error:
        return Version("", (str(error),), {})
    problems = [place(path, line, text) for line, text in sorted(answer["problems"], key=_by_line)]
    if not answer["handlers"] and not problems:
        problems = [f"{path}: nothing in it handles mail: no IOEvent, no on_mail and no rule IO …"]
    return Version(source, tuple(problems), dict(answer["handlers"]))


def check_script(path: Path, limits: Limits | None = None) -> list[str]:
    """Return what is wrong with a script, with file and line, for `mailbell check`. Not within a loop."""
    return list(asyncio.run(examine(path, limits or Limits(), IoState())).problems)


async def _test_run(path: Path, source: str, limits: Limits, state: IoState) -> dict[str, Any]:
    item = convert(sample(), ConvertOptions())
    process = await ScriptProcess.start(lambda _level, _text: None)
    known = state.changes(0)
    request = load_request(path, source, limits) | {
        "run": 0,
        "kind": IO,
        "key": item.name,
        "value": item.value,
        "variables": known.variables,
        "points": known.points | {item.name: item.value},
        "active": True,
    }
    try:
        return await process.ask(encode(request, item.json), limits.test)
    finally:
        await process.close()


def load_request(path: Path, source: str, limits: Limits) -> dict[str, Any]:
    """Make the message that loads a script; what the script may know of the shared state is to be added."""
    return {
        "do": "load",
        "path": str(path),
        "language": path.suffix,
        "source": source,
        "run": 1,
        "keep": None,
        "time_limit": limits.time,
        "memory_limit": limits.memory,
    }


def encode(request: Mapping[str, Any], event: bytes | None = None) -> bytes:
    """Make the line to send. `event` is JSON already."""
    line = json.dumps(request).encode()
    return line + b"\n" if event is None else b'{"event":' + event + b"," + line[1:] + b"\n"


def place(path: Path, line: int | None, text: str) -> str:
    """Put file and line before a problem."""
    return f"{path}: {text}" if line is None else f"{path}:{line}: {text}"


def _by_line(problem: Sequence[Any]) -> int:
    return problem[0] or 0


def _read(path: Path) -> str:
    if path.suffix not in SUFFIXES:
        raise ScriptError(f"a script's name ends in {', '.join(SUFFIXES)}", str(path))
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise ScriptError(f"can't be read: {error.strerror}", str(path)) from error
    if len(data) > LARGEST:
        raise ScriptError(f"larger than {LARGEST >> 20} MiB: is it a script?", str(path))
    if b"\0" in data:
        raise ScriptError("not the text of a script; save it as UTF-8", str(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:  # an old editor; the code itself is ASCII in any case
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")
