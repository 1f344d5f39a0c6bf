"""`/api/events`: what happens in the inbox, as it happens, over a WebSocket."""

import asyncio
import contextlib
import weakref

import msgspec
from aiohttp import WSCloseCode, web

from mailbell.errors import InboxUnavailable
from mailbell.mailbox import Change, Mailbox
from mailbell.web import shapes

QUEUE = 1000
"""Changes that one who listens may be behind; one that is slower is dropped, and looks again."""

HEARTBEAT = 30.0


class Live:
    """Those who listen."""

    def __init__(self, mailbox: Mailbox, version: str) -> None:
        self._mailbox = mailbox
        self._version = version
        self._sockets: weakref.WeakSet[web.WebSocketResponse] = weakref.WeakSet()

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Serve one who listens, until he goes."""
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=4096)
        if not socket.can_prepare(request).ok:
            raise web.HTTPBadRequest(text="this address is for WebSockets")
        queue: asyncio.Queue[Change] = asyncio.Queue(QUEUE)
        overrun = asyncio.Event()

        def note(change: Change) -> None:
            try:
                queue.put_nowait(change)
            except asyncio.QueueFull:
                overrun.set()

        stop = self._mailbox.subscribe(note)
        try:
            await socket.prepare(request)
            self._sockets.add(socket)
            await self._serve(socket, queue, overrun)
        finally:
            stop()
        return socket

    async def close(self) -> None:
        """Part with all."""
        for socket in list(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def _serve(
        self, socket: web.WebSocketResponse, queue: asyncio.Queue[Change], overrun: asyncio.Event
    ) -> None:
        """Send until the other side closes, or is too slow."""
        tasks = [
            asyncio.create_task(work)
            for work in (self._send(socket, queue), _until_closed(socket), _until_set(overrun))
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if overrun.is_set():
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow")

    async def _send(self, socket: web.WebSocketResponse, queue: asyncio.Queue[Change]) -> None:
        """Each change, and the figures behind the last one that is there."""
        with contextlib.suppress(ConnectionError):  # he has gone
            while True:
                await socket.send_str(msgspec.json.encode(shapes.change(await queue.get())).decode())
                if queue.empty():
                    await self._send_stats(socket)

    async def _send_stats(self, socket: web.WebSocketResponse) -> None:
        try:
            counts = await self._mailbox.counts()
        except InboxUnavailable:
            return  # the next change brings them
        data = {"Total": counts.total, "Unread": counts.unread, "Version": self._version}
        await socket.send_str(msgspec.json.encode({"Type": "stats", "Data": data}).decode())


async def _until_closed(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        pass  # nobody has anything to say to us


async def _until_set(event: asyncio.Event) -> None:
    await event.wait()
