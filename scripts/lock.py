#!/usr/bin/env python3
"""Compile pyproject.toml's dependencies into requirements/*.txt, pinned and hashed, for Python 3.11 and up.

check.txt has everything, so it is resolved first and the others are held to its versions: one version of a
library, whichever of them is installed. No index is named: a machine installs from the one it is set up for.
"""

import subprocess
import sys
from pathlib import Path

LOCKS = {
    "check": ["test", "bench", "check"],
    "run": [],
    "test": ["test"],
    "bench": ["bench"],
}
TOOLS = {"build": ["build"], "docs": ["docs"], "lock": ["lock"]}
"""Of no concern to the program, so resolved each for itself, without its dependencies."""


def compile_lock(
    name: str, groups: list[str], *, project: bool, held_to: str | None, upgrade: list[str]
) -> None:
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--python-version=3.11",
    ]
    command += [
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--no-emit-index-url",
        "--no-emit-find-links",
    ]
    command += [f"--output-file=requirements/{name}.txt", *(f"--group={group}" for group in groups), *upgrade]
    command += ["--all-extras", "pyproject.toml"] if project else []
    command += [f"--constraints=requirements/{held_to}.txt"] if held_to else []
    subprocess.run(command, check=True, cwd=Path(__file__).parent.parent)


def main() -> None:
    upgrade = sys.argv[1:]
    for name, groups in LOCKS.items():
        held_to = None if name == "check" else "check"
        compile_lock(name, groups, project=True, held_to=held_to, upgrade=upgrade)
    for name, groups in TOOLS.items():
        held_to = "check" if name == "docs" else None  # the two share an environment
        compile_lock(name, groups, project=False, held_to=held_to, upgrade=upgrade)


if __name__ == "__main__":
    main()
