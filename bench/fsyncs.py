"""How often a server asks the disk to make something durable: strace counts, attached while it takes mail."""

import contextlib
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.load import Load, send
from bench.peer import SECONDS, Peer, Unavailable, needed
from bench.processes import family

CALLS = ("fsync", "fdatasync", "sync_file_range", "msync", "syncfs", "sync")


@contextlib.contextmanager
def traced(
    root: int, calls: Sequence[str], file: Path, *options: str, killed: bool = False
) -> Iterator[None]:
    """Trace a process and its descendants, those to come included, into a file; at the end it is whole.

    On `killed` they are all killed meanwhile, and strace ends with the last. Asked to let go of a process
    that is just dying it would wait for ever.
    """
    pids = family(root)
    which = [word for pid in sorted(pids) for word in ("-p", str(pid))]
    command = [needed("strace"), "-f", "-e", f"trace={','.join(calls)}", *options, "-o", str(file), *which]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await_attached(tracer, pids)
        yield
        if not killed:
            tracer.send_signal(signal.SIGINT)
        tracer.wait(SECONDS)
    finally:
        tracer.kill()
        tracer.wait()


def await_attached(tracer: subprocess.Popen[bytes], pids: set[int]) -> None:
    """Wait until every process is watched: the kernel names its tracer."""
    deadline = time.monotonic() + SECONDS
    while not all(watched(pid) for pid in pids):
        if tracer.poll() is not None or time.monotonic() > deadline:
            raise Unavailable("can't be traced here")
        time.sleep(0.01)


def watched(pid: int) -> bool:
    """Whether all threads of a process have a tracer; one that is gone needs none."""
    try:
        return all(
            "TracerPid:\t0\n" not in (task / "status").read_text()
            for task in Path(f"/proc/{pid}/task").iterdir()
        )
    except OSError:
        return True


def fsyncs(peer: Peer, mails: int, load: Load) -> int | None:
    """Return how many calls a load took; None where they can't be counted here."""
    with tempfile.TemporaryDirectory(prefix="strace-", dir="/var/tmp") as folder:
        file = Path(folder, "trace")
        try:
            with traced(peer.process.pid, CALLS, file):
                send(peer.port, mails, load)
                peer.settle()
        except Unavailable as reason:
            print(f"fsyncs of {peer.name}: {reason}")
            return None
        return count(file)


def count(file: Path) -> int:
    """Return how many calls a trace has; one that was interrupted by others is two lines, and is one."""
    begun = re.compile(r"^\d+ +\w+\(")
    return sum(bool(begun.match(line)) for line in file.read_text().splitlines())
