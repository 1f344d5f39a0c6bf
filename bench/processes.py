"""What a process and all of its descendants have used, as /proc tells it."""

import contextlib
import os
import re
from pathlib import Path

PROC = Path("/proc")


def family(root: int) -> set[int]:
    """Return a process and its descendants."""
    parents = {pid: int(fields[1]) for pid, fields in _stats().items()}
    found, added = {root}, {root}
    while added:
        added = {pid for pid, parent in parents.items() if parent in added}
        found |= added
    return found


def cpu_seconds(root: int) -> float:
    """Return the CPU time so far of the family, the ended ones included."""
    stats = _stats()
    ticks = sum(
        int(field)
        for pid in family(root)
        for field in stats.get(pid, [])[11:15]  # proc(5): utime, stime, cutime, cstime
    )
    return ticks / os.sysconf("SC_CLK_TCK")


def idle_seconds() -> float:
    """Return the time that all processors together have been idle, waiting for disks included."""
    fields = (PROC / "stat").read_text().split("\n", 1)[0].split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def forget_peak(root: int) -> None:
    """Have the peak of memory start from what is used now."""
    for pid in family(root):
        with contextlib.suppress(OSError):  # gone in the meantime
            (PROC / f"{pid}/clear_refs").write_text("5")  # proc(5): resets VmHWM


def peak_memory(root: int) -> float:
    """Return the sum of the peaks of the family in octets; what its processes share counts in each."""
    return sum(_status(pid, "VmHWM") for pid in family(root))


def memory(root: int) -> float:
    """Return the sum of what the family uses now in octets."""
    return sum(_status(pid, "VmRSS") for pid in family(root))


def _status(pid: int, key: str) -> float:
    with contextlib.suppress(OSError):
        found = re.search(rf"^{key}:\s*(\d+) kB", (PROC / f"{pid}/status").read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else 0
    return 0


def _stats() -> dict[int, list[str]]:
    """The fields after the name of each process's /proc/PID/stat."""
    found = {}
    for stat in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # gone in the meantime
            found[int(stat.parent.name)] = stat.read_text().rpartition(")")[2].split()
    return found
