"""Where the control socket is; for both of its ends, so nothing heavy is imported here."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "control.sock"
LONGEST = 107
"""Octets of an address in `sun_path` (unix(7)), without the NUL at its end."""


@contextmanager
def address(folder: Path) -> Iterator[str]:
    """Yield an address to bind or connect to: by way of /proc where the path itself is too long."""
    path = str(folder / NAME)
    if len(os.fsencode(path)) <= LONGEST:
        yield path
        return
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{here}/{NAME}"
    finally:
        os.close(here)
