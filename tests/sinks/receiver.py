"""A webhook's receiver: notes what it gets, and behaves as it is told.

`python -m tests.sinks.receiver PORT FILE` is one to kill: it adds each ID to the file, and answers.
"""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web

from tests.tools import free_port

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Request(NamedTuple):
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Receiver:
    """Where `url` points. `plan` is what it does with the next requests; after that it answers 200."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.plan: list[Behaviour] = []
        self.requests: list[Request] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(Request(headers, await request.read()))
        return await self.plan.pop(0)(request) if self.plan else web.Response(text="thanks")


def answer(status: int, text: str = "", **headers: str) -> Behaviour:
    """Answer with this status."""

    async def behave(request: web.Request) -> web.StreamResponse:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, headers=fields)

    return behave


def octets(data: bytes) -> Behaviour:
    """Answer with these octets, HTTP or not, and cut the connection."""

    async def behave(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(data)
        request.transport.close()
        return web.Response()

    return behave


@asynccontextmanager
async def receiving(**how: object) -> AsyncIterator[Receiver]:
    """A receiver on a port of 127.0.0.1; `ssl_context` makes it one with TLS."""
    receiver = Receiver("")
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, **how).start()  # type: ignore[arg-type]
    receiver.url = f"http{'s' if how.get('ssl_context') else ''}://127.0.0.1:{port}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def main(port: int, file: str) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def note(request: web.Request) -> web.Response:
        await request.read()
        os.write(handle, f"{request.headers['webhook-id']}\n".encode())
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", note)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
