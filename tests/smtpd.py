"""aiosmtpd's server in a thread, which leaves nothing open behind."""

import asyncio
import socket
from typing import Any

from aiosmtpd import controller

PATIENCE = 10.0


class Controller(controller.Controller):
    """aiosmtpd stops its loop while connections are still being closed; this one ends them first."""

    def stop(self, no_assert: bool = False) -> None:
        """Cut what is open, then stop."""
        try:
            asyncio.run_coroutine_threadsafe(self._cut(), self.loop).result(PATIENCE)
        finally:
            super().stop(no_assert)

    async def _cut(self) -> None:
        transports: Any = list(self.loop._transports.values())  # type: ignore[attr-defined]  # asyncio's list
        for each in transports:
            each.abort()
        while any(each._sock is not None for each in transports):  # noqa: ASYNC110  nothing tells
            await asyncio.sleep(0)


class Untrusted(Controller):
    """aiosmtpd connects to a server that it has started, and would not trust our certificate."""

    def _trigger_server(self) -> None:
        with socket.create_connection((self.hostname, self.port)):
            pass
