"""The event loop: uvloop, and asyncio's own where there is no uvloop."""

import asyncio
from collections.abc import Callable
from io import FileIO


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """For asyncio.Runner."""
    try:
        import uvloop
    except ImportError:  # no wheel for this platform: asyncio serves as well, only slower
        return None
    return uvloop.new_event_loop


def reading_end(descriptor: int) -> FileIO:
    """The reading end of a pipe for the running loop's `connect_read_pipe`, which closes it.

    uvloop closes the descriptor, and then the file: that must not close it once more, for by then another
    thread may have opened something of the same number. asyncio closes the file alone.
    """
    loop = asyncio.get_running_loop()
    return FileIO(descriptor, "rb", closefd=isinstance(loop, asyncio.BaseEventLoop))
