"""What was measured, and where it is kept: a JSON file a part in bench/results, published in docs/benchmarks.

A figure is one of those that bench.figures wants reached; each has a value for every time it was measured.
"""

import argparse
import os
import platform
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.peer import said
from tests.tools import ROOT

RESULTS = ROOT / "bench/results"
PUBLISHED = ROOT / "docs/benchmarks"


class Machine(msgspec.Struct, frozen=True):
    cpu: str
    cores: int
    memory: str
    kernel: str
    disk: str

    def __str__(self) -> str:
        return f"{self.cores} × {self.cpu}, {self.memory}, {self.disk}, {self.kernel}"


class Server(msgspec.Struct):
    """A server that was measured; mails sent to it, and how many of them it says it has taken."""

    version: str
    stores: str
    remark: str = ""
    sent: int = 0
    taken: int | None = None
    failed: bool = False
    """Whether a load was given up, after which the count of what was sent is not known."""


Runs = dict[str, dict[str, dict[str, list[float]]]]
"""Scenario → server → what was measured → a value for each round."""


class Result(msgspec.Struct, kw_only=True):
    """What one part has shown. `figures` by name as in bench.figures; `lines` is what it printed."""

    part: str
    command: str
    date: str
    commit: str
    machine: Machine
    figures: dict[str, list[float]] = {}
    servers: dict[str, Server] = {}
    absent: dict[str, str] = {}
    runs: Runs = {}


def result(part: str) -> Result:
    """Return a result with nothing in it yet."""
    return Result(
        part=part,
        command=f"python -m bench {part} {' '.join(sys.argv[1:])}".strip(),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=commit(),
        machine=machine(),
    )


def options(part: str, about: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every part has."""
    parser = argparse.ArgumentParser(prog=f"python -m bench {part}", description=about)
    parser.add_argument("--full", action="store_true", help="all of it, however long that takes")
    parser.add_argument("--publish", action="store_true", help="put the results into docs/benchmarks, too")
    return parser


def save(result: Result, *, publish: bool) -> None:
    """Keep a part's result, in place of the one before."""
    for folder in folders(publish=publish):
        file = folder / f"{result.part}.json"
        file.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
        print(f"written: {file.relative_to(ROOT)}")


def figures(part: str, values: Mapping[str, Sequence[float]], *, publish: bool) -> None:
    """Keep the result of a part that has figures and nothing else."""
    found = result(part)
    found.figures = {name: list(each) for name, each in values.items()}
    save(found, publish=publish)


def load(folder: Path) -> list[Result]:
    """Return the results that a folder has."""
    return [msgspec.json.decode(path.read_bytes(), type=Result) for path in sorted(folder.glob("*.json"))]


def folders(*, publish: bool) -> list[Path]:
    """Return where results go."""
    found = [RESULTS, *([PUBLISHED] if publish else [])]
    for folder in found:
        folder.mkdir(parents=True, exist_ok=True)
    return found


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """Return the median with the least and the most, as text."""
    middle, least, most = (
        f"{value:{form}}" for value in (statistics.median(values), min(values), max(values))
    )
    return middle if least == most else f"{middle} ({least}…{most})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return how many times theirs ours is, round by round."""
    return [our / their for our, their in zip(ours, theirs, strict=True)]


def machine() -> Machine:
    """Return what this is measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    octets = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cpu=models[0] if models else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory=f"{octets / 2**30:.0f} GiB",
        kernel=f"{platform.system()} {platform.release()}",
        disk=f"{said('findmnt', '-n', '-o', 'FSTYPE', '-T', '/var/tmp')} on /var/tmp",
    )


def commit() -> str:
    """Return the commit of the working tree; a `+` after it says that there are changes."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        return "unknown"
    changed = said("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no", "--", "src")
    return said("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD") + "+" * bool(changed)
