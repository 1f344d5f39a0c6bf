"""The web server: one application, and the sockets that it answers on."""

import logging
import socket
import ssl

from aiohttp import web

from mailbell.errors import ListenError
from mailbell.login.users import Users
from mailbell.settings import WebSettings, is_loopback
from mailbell.web import own
from mailbell.web.fates import Fates
from mailbell.web.guard import Guard, middleware
from mailbell.web.live import Live
from mailbell.web.mailpit import Mailpit
from mailbell.web.openapi import OpenApi
from mailbell.web.ports import Engine, Parts
from mailbell.web.routing import Router
from mailbell.web.signin import NO_USERS, SignIn
from mailbell.web.static import Static
from mailbell.web.streams import STOP, Streams

MAX_BODY = 64 * 2**20

logger = logging.getLogger("mailbell.web")


def application(
    parts: Parts, engine: Engine, guard: Guard | None = None, sign_in: SignIn | None = None
) -> web.Application:
    """Make the application."""
    live, streams = Live(parts), Streams()
    routes = [
        *Mailpit(parts).routes(),
        *Fates(parts).routes(),
        *live.routes(),
        *own.routes(engine, streams),
        *(NO_USERS if sign_in is None else sign_in.routes()),
        *Static().routes(),
    ]
    routes += OpenApi(routes, engine.version).routes()
    made = web.Application(middlewares=[middleware(guard)], client_max_size=MAX_BODY)
    made.router.add_route(
        "*", "/{path:.*}", Router(routes, None if sign_in is None else sign_in.require).answer
    )

    async def close(_: web.Application) -> None:
        streams.close()
        await live.close()

    made.on_shutdown.append(close)
    return made


class WebServer:
    """The application on a TCP port."""

    def __init__(
        self, parts: Parts, engine: Engine, settings: WebSettings, context: ssl.SSLContext | None = None
    ) -> None:
        """`context`: for HTTPS. StartupError where the users file can't be read."""
        self._host, self._port = split(settings.listen)
        self._context = context
        self._readable = not (settings.users is None or context or is_loopback(settings.listen))
        sign_in = None
        if settings.users is not None:
            cookie = f"mailbell-{self._port}"  # a browser sends a cookie to all ports of a host
            users, secure = Users(settings.users), context is not None
            sign_in = SignIn(users, engine.clock, settings.session, cookie, secure)
        self._runner = web.AppRunner(
            application(parts, engine, Guard([*settings.hosts, self._host]), sign_in),
            access_log=None,
            shutdown_timeout=STOP,
            handle_signals=False,
        )

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._runner.addresses[0][:2]
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    async def start(self) -> None:
        """Listen; ListenError when the address can't be had."""
        if self._readable:
            logger.warning("passwords for the page can be read on the network; set tls = true in [web]")
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._context, backlog=1024)
            await site.start()
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


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "no such address"
    return error.strerror or str(error)
