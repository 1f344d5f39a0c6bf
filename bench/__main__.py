"""The benchmarks: `python -m bench` runs all, `python -m bench smtp --publish` one, with its own options."""

import subprocess
import sys

PARTS = ("smtp", "session", "journal", "convert", "mqtt", "inbox", "web", "delivery", "cluster")


def main() -> None:
    chosen, options = sys.argv[1:2], sys.argv[2:]
    for part in chosen or PARTS:
        print(f"\n== {part}", flush=True)
        command = [sys.executable, "-m", f"bench.{part}", *options]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
