"""The guard against getting slower: two commits side by side, in one run; a loss of more than 15 % fails.

Both servers are up at once, each from its own tree, and the rounds go to and fro between them, so that a
change of the machine's mood meets both. What counts is the median of the ratios within a round.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.load import KEPT, Load, measured
from bench.peer import Peer
from bench.peers import Mailbell
from bench.results import ratios, spread
from tests.tools import ROOT

LOSS = 0.15
LOADS = {"new connections": (Load(), 1500), "kept connections": (KEPT, 4000)}
"""What is compared, and of how many mails a round is."""


class Tree(Mailbell):
    """The mailbell of a source tree."""

    def __init__(self, name: str, tree: Path) -> None:
        super().__init__()
        self.name, self._tree = name, tree

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self._tree / "src")}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench check", description=__doc__)
    base = os.environ.get("BASE") or "HEAD~1"
    parser.add_argument("--base", default=base, help="the commit to compare with (BASE, else HEAD~1)")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--share", type=float, default=1.0, help="of the mails of a round this part")
    given = parser.parse_args()
    with (
        tree(given.base) as before,
        serving(Tree(given.base, before), Tree("the working tree", ROOT)) as peers,
    ):
        lost = [what for what in LOADS if slower(what, peers, given.rounds, given.share)]
    if lost:
        sys.exit(f"slower than {given.base} by more than {LOSS:.0%}: {', '.join(lost)}")


@contextlib.contextmanager
def tree(commit: str) -> Iterator[Path]:
    """A working tree of a commit, in a folder of its own for the time."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as room:
        folder = Path(room, "tree")
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)


@contextlib.contextmanager
def serving(*peers: Peer) -> Iterator[tuple[Peer, ...]]:
    with contextlib.ExitStack() as stack:
        for peer in peers:
            peer.start()
            stack.callback(peer.stop)
        yield peers


def slower(what: str, peers: tuple[Peer, ...], rounds: int, share: float) -> bool:
    """Load both in each round, in turns the one and the other first; whether the new one loses too much."""
    load, mails = LOADS[what]
    rates: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for number in range(-1, rounds):
        for peer in peers[:: 1 if number % 2 else -1]:
            rate = measured(peer, max(load.clients, int(mails * share)), load)["rate"]
            if number >= 0:  # the first warms up
                rates[peer.name].append(rate)
    before, after = rates.values()
    for name, each in rates.items():
        print(f"{what}, {name}: {spread(each)} mails/s", flush=True)
    found = ratios(after, before)
    print(f"{what}: {spread(found, '.3f')} × as fast", flush=True)
    return lost(found)


def lost(found: list[float]) -> bool:
    """Whether these ratios, new to old, are a loss that is not to be."""
    return statistics.median(found) < 1 - LOSS


if __name__ == "__main__":
    main()
