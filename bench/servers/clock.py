"""A mailbell script that notes when it was called for which mail, in the file `calls` beside it."""

import time
from pathlib import Path

CALLS = Path(__file__).with_name("calls").open("a", buffering=1)


def on_mail(event: dict[str, object]) -> None:
    if __run == 1:  # type: ignore[name-defined]  # noqa: F821  0 in the test-run at load
        CALLS.write(f"{event['subject']} {time.monotonic_ns()}\n")
