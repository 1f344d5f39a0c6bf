"""`/livez`, `/readyz` and `/api/v1/ha`: for load balancers and supervisors, and who is the active node."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from mailbell.lease.base import Standing
from mailbell.web.routing import Route


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Whether mail is taken; why not. `active` is whether this node delivers."""

    ready: bool
    reason: str | None
    active: bool


def routes(ha: Callable[[], Standing], trouble: Callable[[], Awaitable[str | None]]) -> list[Route]:
    """What is answered here; `trouble` is why mail would be refused at this moment."""

    async def livez(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(_request: web.Request) -> web.Response:
        reason = await trouble()
        ready = Ready(ready=reason is None, reason=reason, active=ha().active)
        return _json(ready, 200 if ready.ready else 503)

    async def standing(_request: web.Request) -> web.Response:
        return _json(ha())

    return [
        Route("GET", "/livez", livez),
        Route("GET", "/readyz", readyz),
        Route("GET", "/api/v1/ha", standing),
    ]


def _json(value: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
