"""The locks: pinned, hashed, of no particular registry, and with all that the code imports."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.tools import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"), key=lambda lock: lock.name)
OURS = {"mailbell", "tests", "bench"}
HOST = {"src": {"pytest"}, "tests": set[str]()}
"""What is there where our code is imported: only pytest imports pytest_plugin.py."""


def locked(lock: str) -> set[str]:
    """Return the names of the distributions in a lock."""
    return set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / lock).read_text(), re.MULTILINE))


def imported(folder: Path) -> Iterator[str]:
    """Yield the top-level modules that the code in a folder imports, wherever in a file it does."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_is_pinned_and_hashed(lock: Path) -> None:
    requirements = lock.read_text().replace("\\\n", " ").splitlines()
    assert requirements
    for requirement in requirements:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.!]+( ; [^/@]+?)?( +--hash=sha256:[0-9a-f]{64})+", requirement)


@pytest.mark.parametrize(("folder", "lock"), [("src", "run.txt"), ("tests", "test.txt")])
def test_all_that_is_imported_is_locked(folder: str, lock: str) -> None:
    there, known = locked(lock), packages_distributions()
    for module in set(imported(ROOT / folder)) - OURS - HOST[folder] - sys.stdlib_module_names:
        names = {re.sub("[_.]", "-", name).lower() for name in known.get(module, [])}
        assert names & there, f"{folder} imports {module}, which requirements/{lock} does not have"
