"""Calls between two processes of ours, over a pair of sockets that nobody else can reach.

A message is its length (4 octets), then a pickle. Pickles run code when they are read: here both ends are the
same program of the same user, and the sockets have no name.
"""

import asyncio
import itertools
import logging
import pickle
import socket
from collections.abc import Callable, Mapping
from typing import Any

from mailbell.errors import MailbellError

HEAD = 4

logger = logging.getLogger("mailbell")

Handler = Callable[..., Any]
"""What answers a call: returns the answer, or an awaitable of it; what it raises, the caller gets."""


class LinkLost(MailbellError):
    """The other process is gone."""


class Link(asyncio.Protocol):
    """One end. `call` waits for the answer, `tell` does not; messages arrive in order."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._numbers = itertools.count()
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Future[Any]] = set()
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._lost = asyncio.Event()

    @classmethod
    async def open(cls, own: socket.socket, handlers: Mapping[str, Handler]) -> "Link":
        """Talk over this socket, which is the link's from now on."""
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(lambda: cls(handlers), sock=own)
        return link

    async def call(self, name: str, *args: object) -> Any:
        """Have it done at the other end; its answer, or what it raised, or LinkLost."""
        if self._lost.is_set():
            raise LinkLost(f"{name}: the other process is gone")
        number = next(self._numbers)
        answer = self._calls[number] = asyncio.get_running_loop().create_future()
        self._send(number, name, args)
        try:
            return await answer
        finally:
            self._calls.pop(number, None)

    def tell(self, name: str, *args: object) -> None:
        """Have it done at the other end, if that is still there."""
        self._send(None, name, args)

    async def lost(self) -> None:
        """Return when the other end is gone."""
        await self._lost.wait()

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.close()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= HEAD:
            end = at + HEAD + int.from_bytes(buffer[at : at + HEAD])
            if len(buffer) < end:
                break
            self._take(*pickle.loads(memoryview(buffer)[at + HEAD : end]))  # noqa: S301  see above
            at = end
        del buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost.set()
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(LinkLost("the other process is gone"))

    # Inside.

    def _send(self, number: int | None, name: str, what: object) -> None:
        """`name` is "" for an answer."""
        if self._transport is not None:
            data = pickle.dumps((number, name, what), pickle.HIGHEST_PROTOCOL)
            self._transport.write(len(data).to_bytes(HEAD) + data)

    def _take(self, number: int | None, name: str, what: Any) -> None:
        if name:
            self._answer(number, name, what)
        elif number is not None and (waiting := self._calls.get(number)) and not waiting.done():
            answer, error = what
            if error is None:
                waiting.set_result(answer)
            else:
                waiting.set_exception(error)

    def _answer(self, number: int | None, name: str, args: tuple[Any, ...]) -> None:
        try:
            answer = self._handlers[name](*args)
        except Exception as error:  # noqa: BLE001  it is for the caller
            self._reply(number, name, None, error)
            return
        if not asyncio.isfuture(answer) and not asyncio.iscoroutine(answer):
            self._reply(number, name, answer, None)
            return
        answering = asyncio.ensure_future(answer)
        self._answering.add(answering)
        answering.add_done_callback(lambda done: self._answered(number, name, done))

    def _answered(self, number: int | None, name: str, done: asyncio.Future[Any]) -> None:
        self._answering.discard(done)
        if not done.cancelled():
            error = done.exception()
            self._reply(number, name, None if error else done.result(), error)

    def _reply(self, number: int | None, name: str, answer: object, error: BaseException | None) -> None:
        if number is not None:
            self._send(number, "", (answer, error))
        elif error is not None:
            logger.error("%s failed", name, exc_info=error)
