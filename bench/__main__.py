"""All benchmarks, one after the other, each in a process of its own: `make bench`."""

import subprocess
import sys

PARTS = ("smtp", "convert")


def main() -> None:
    for part in PARTS:
        print(f"\n== {part}", flush=True)
        subprocess.run([sys.executable, "-m", f"bench.{part}"], check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
