"""Tells when a file was saved, however the editor does that: in place, or by renaming another one over it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from watchfiles import awatch

STEP = 50
"""Milliseconds of quiet that end a save: some editors write twice."""

CHECK_EVERY = 5_000
"""Milliseconds after which to look anyway: a watch is lost with its folder, and is deaf on some mounts."""

Signature = tuple[int, int, int] | None


def signature(path: Path) -> Signature:
    """Return what changes when a file is saved; None when it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


async def saves(path: Path, seen: Signature) -> AsyncGenerator[Signature, None]:
    """Yield the signature of the file whenever it is another than before."""
    if (now := signature(path)) != seen:
        seen = now
        yield seen
    while True:
        async with aclosing(_looks(path.parent)) as looks:
            async for heard in looks:
                if (now := signature(path)) != seen:
                    seen = now
                    yield seen
                    if not heard:  # the watch is deaf: begin a new one
                        break


async def _looks(folder: Path) -> AsyncGenerator[bool, None]:
    """Yield when it is time to look: True after a change in the folder, False after a while without."""
    try:
        async for changes in awatch(
            folder,
            watch_filter=None,
            recursive=False,
            step=STEP,
            rust_timeout=CHECK_EVERY,
            yield_on_timeout=True,
        ):
            yield bool(changes)
    except (OSError, RuntimeError):  # no such folder, no inotify watches left: looking now and then does, too
        await asyncio.sleep(CHECK_EVERY / 1000)
        yield False
