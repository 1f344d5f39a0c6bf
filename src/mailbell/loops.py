"""The event loop: uvloop, and asyncio's own where there is no uvloop."""

import asyncio
from collections.abc import Callable


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """For asyncio.Runner."""
    try:
        import uvloop
    except ImportError:  # no wheel for this platform: asyncio serves as well, only slower
        return None
    return uvloop.new_event_loop
