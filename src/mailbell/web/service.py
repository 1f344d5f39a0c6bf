"""The web server: one application, and the sockets that it answers on."""

import html
import ipaddress
import logging
import socket
from collections.abc import Sequence

from aiohttp import web

from mailbell.errors import ListenError
from mailbell.reception import Reception
from mailbell.settings import WebSettings
from mailbell.web.guard import Guard, middleware
from mailbell.web.live import Live
from mailbell.web.mailpit import Mailpit
from mailbell.web.ports import Parts
from mailbell.web.routing import Route, Router

MAX_BODY = 64 * 2**20
STOP = 1.0
"""Seconds that answers under way have on stop."""

HOME = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>mailbell</title>
<h1>mailbell {version}</h1>
<p>Mail in, events out. This server takes mail and keeps it here to be looked at through its API.</p>
<h2>Send the first mail</h2>
<pre>mailbell send --server {server}</pre>
<h2>The API</h2>
<p>It answers the calls of Mailpit's API:</p>
<ul>
<li><a href="/api/v1/messages">/api/v1/messages</a>: the mails, newest first
<li><a href="/api/v1/search?query=is:unread">/api/v1/search?query=is:unread</a>: those that a query finds
<li><a href="/api/v1/message/latest">/api/v1/message/latest</a>: the newest mail
<li><a href="/view/latest.html">/view/latest.html</a>: how it looks
<li><a href="/api/v1/info">/api/v1/info</a>: figures of this server
</ul>
</html>
"""

logger = logging.getLogger("mailbell.web")


def application(parts: Parts, guard: Guard | None, more: Sequence[Route] = ()) -> web.Application:
    """Make the application. Without a `guard`, for a socket that only those may open who may do all."""
    live = Live(parts.mailbox, parts.version)
    router = Router([*Mailpit(parts).routes(), Route("GET", "/api/events", live.events), *more])
    made = web.Application(middlewares=[middleware(guard)], client_max_size=MAX_BODY)
    made.router.add_route("*", "/{path:.*}", router.answer)

    async def close(_: web.Application) -> None:
        await live.close()

    made.on_shutdown.append(close)
    return made


def home(version: str, reception: Reception) -> Route:
    """A page that says what this is."""

    async def handler(_request: web.Request) -> web.Response:
        [first, *_] = await reception.ioservers()
        page = HOME.format(version=html.escape(version), server=f"127.0.0.1:{first.port}")
        return web.Response(text=page, content_type="text/html")

    return Route("GET", "/", handler)


class WebServer:
    """The application on a TCP port."""

    def __init__(self, parts: Parts, settings: WebSettings, more: Sequence[Route] = ()) -> None:
        """ListenError where the address is open to others, and nothing says that this is meant."""
        self._host, self._port = split(settings.listen)
        if not settings.insecure and not is_loopback(self._host):
            raise ListenError(
                f'web.listen = "{settings.listen}": whoever reaches this address could read all mail; '
                "listen on 127.0.0.1, or write insecure = true in [web]"
            )
        guard = Guard([*settings.hosts, self._host])
        self._runner = web.AppRunner(
            application(parts, guard, more), access_log=None, shutdown_timeout=STOP, handle_signals=False
        )

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def start(self) -> None:
        """Listen; ListenError when the address can't be had."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ListenError(
                f"web: {self._host} port {self._port}: {_reason(error)}; "
                "choose another with --web HOST:PORT, or --web off"
            ) from error

    async def stop(self) -> None:
        """Stop answering."""
        await self._runner.cleanup()


def split(listen: str) -> tuple[str, int]:
    """`host:port`, or `[address]:port`, apart."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "no such address"
    return error.strerror or str(error)
