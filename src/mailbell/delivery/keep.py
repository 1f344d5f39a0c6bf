"""Work in the background that goes on until its owner ends."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

RESTART_AFTER = 1.0

logger = logging.getLogger("mailbell")


def keep_running(stack: AsyncExitStack, what: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run in the background until the stack unwinds; a bug in one part is logged and that part begun anew."""

    async def keep() -> None:
        while True:
            try:
                await work()
            except Exception:
                logger.exception("%s failed; it is started again", what)
            await asyncio.sleep(RESTART_AFTER)

    task = asyncio.get_running_loop().create_task(keep(), name=what)

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    stack.push_async_callback(end)
