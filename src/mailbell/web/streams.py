"""Server-sent events: what happens, as it happens, over one answer that does not end.

One who is too slow is cut off, not waited for; he comes again with the ID of the last event he has had.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import NamedTuple, cast

from aiohttp import web

from mailbell.errors import MailbellError

PULSE = 20.0
"""Seconds without an event until a sign of life, which also finds out who has gone."""

SLOW = 10.0
"""Seconds that one event may take to go out; what the sockets' buffers hold is beyond that."""


STOP = 1.0
"""Seconds that answers under way have when a server stops."""

STILL = web.RequestKey("still", object)
"""A function that says whether who asked may still listen; his session may have ended."""


logger = logging.getLogger("mailbell.web")


class Message(NamedTuple):
    """An event of the stream; `data` is one line."""

    id: str
    event: str
    data: bytes


Source = AsyncIterator[Message | None]
"""None is a sign of life."""


class Streams:
    """Those who listen."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()
        self._closing = False

    def __len__(self) -> int:
        return len(self._tasks)

    async def serve(self, request: web.Request, source: Source) -> web.StreamResponse:
        """Answer with what the source yields, until it ends, the other side goes or is too slow."""
        response = web.StreamResponse(headers={"X-Accel-Buffering": "no"})
        response.content_type = "text/event-stream"
        if request.method == "HEAD":
            return response
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  a handler runs in one
        self._tasks.add(task)
        try:
            await response.prepare(request)
            async with aclosing(source):  # type: ignore[type-var]
                await self._pump(response, source, may_listen(request))
        except TimeoutError:  # too slow
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # he has gone
        except MailbellError as error:  # past the headers no answer can say so; he comes again
            logger.warning("%s: ended: %s", request.path, error)
        except Exception:
            logger.exception("%s failed", request.path)
            if request.transport is not None:
                request.transport.abort()
        except asyncio.CancelledError:
            if not self._closing:
                raise
        finally:
            self._tasks.discard(task)
        return response

    async def _pump(
        self, response: web.StreamResponse, source: Source, may_listen: Callable[[], bool]
    ) -> None:
        await response.write(b": mailbell\n\n")  # so that the other side knows at once that it is heard
        async for message in source:
            if not may_listen():
                return
            async with asyncio.timeout(SLOW):
                await response.write(b":\n\n" if message is None else _lines(message))

    def close(self) -> None:
        """Part with all."""
        self._closing = True
        for task in list(self._tasks):
            task.cancel()


def may_listen(request: web.Request) -> Callable[[], bool]:
    """Whether who asked may still do so; where nobody has to sign in, all may."""
    return cast("Callable[[], bool]", request.get(STILL, lambda: True))


def _lines(message: Message) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (message.id.encode(), message.event.encode(), message.data)
