"""The benchmarks: `python -m bench` is the short form, `--full` all of them, `python -m bench smtp` one part.

Every part keeps its results; what one lacks on this machine is left out and said. At the end stands the table
of all figures that are wanted.
"""

import subprocess
import sys

SHORT = ("smtp", "survival", "convert", "delivery", "inbox", "web")
FULL = (
    "smtp",
    "idle",
    "survival",
    "convert",
    "delivery",
    "inbox",
    "web",
    "cluster",
    "session",
    "journal",
    "mqtt",
)
PLAIN = ("session", "journal", "mqtt")
"""Parts without options and figures: they show where time goes."""


def main() -> None:
    given = sys.argv[1:]
    if given and not given[0].startswith("-"):
        sys.exit(run(given[0], given[1:]))
    failed = [part for part in (FULL if "--full" in given else SHORT) if run(part, given)]
    run("figures", [word for word in given if word == "--publish"])
    if failed:
        sys.exit(f"not measured, for the reason above: {', '.join(failed)}")


def run(part: str, options: list[str]) -> int:
    """Run a part in a process of its own; its exit status."""
    print(f"\n== {part}", flush=True)
    command = [sys.executable, "-m", f"bench.{part}", *([] if part in PLAIN else options)]
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    main()
