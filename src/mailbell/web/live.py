"""`/api/events`: what happens in the inbox, as it happens, over a WebSocket."""

import asyncio
import contextlib
import weakref
from collections.abc import Callable

from aiohttp import WSCloseCode, web

from mailbell.web.hub import Hub
from mailbell.web.ports import Parts
from mailbell.web.routing import Route
from mailbell.web.streams import PULSE, may_listen

QUEUE = 1000
"""Messages that one who listens may be behind; one that is slower is dropped, and looks again."""

HEARTBEAT = 30.0
CLOSE = 2.0
"""Seconds that one who is parted with has to agree."""


class Live:
    """Those who listen."""

    def __init__(self, parts: Parts) -> None:
        self._hub = Hub(parts)
        self._sockets: weakref.WeakSet[web.WebSocketResponse] = weakref.WeakSet()

    def routes(self) -> list[Route]:
        """What is answered here."""
        return [Route("GET", "/api/events", self.events, "application/json")]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """What happens in the inbox, over a WebSocket: messages of Type and Data."""
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=4096, timeout=CLOSE)
        if not socket.can_prepare(request).ok:
            raise web.HTTPBadRequest(text="this address is for WebSockets")
        queue: asyncio.Queue[str] = asyncio.Queue(QUEUE)
        overrun = asyncio.Event()

        def take(message: str) -> None:
            try:
                queue.put_nowait(message)
            except asyncio.QueueFull:
                overrun.set()

        with self._hub.listening(take):
            await socket.prepare(request)
            self._sockets.add(socket)
            await _serve(socket, queue, overrun, may_listen(request))
        if overrun.is_set():
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow")
        return socket

    async def close(self) -> None:
        """Part with all."""
        closing = [each.close(code=WSCloseCode.GOING_AWAY) for each in list(self._sockets)]
        await asyncio.gather(*closing, return_exceptions=True)


async def _serve(
    socket: web.WebSocketResponse,
    queue: asyncio.Queue[str],
    overrun: asyncio.Event,
    may_listen: Callable[[], bool],
) -> None:
    """Send until the other side closes, is too slow, or has signed out."""
    work = (_send(socket, queue), _until_closed(socket), overrun.wait())
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(each) for each in work]
    try:
        done: set[asyncio.Task[object]] = set()
        while not done and may_listen():
            done, _ = await asyncio.wait(tasks, timeout=PULSE, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(socket: web.WebSocketResponse, queue: asyncio.Queue[str]) -> None:
    with contextlib.suppress(ConnectionError):  # he has gone
        while True:
            await socket.send_str(await queue.get())


async def _until_closed(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        pass  # nobody has anything to say to us
