"""The transcripts of SMTP connections through the API: `GET /api/v1/sessions` and `/api/v1/sessions/{id}`."""

from collections.abc import Sequence

import msgspec
from aiohttp import web

from mailbell.reception import Line, Reception, Session
from mailbell.web.routing import Route

LIMIT = 100


class Sessions(msgspec.Struct, frozen=True):
    """Some of them, newest first."""

    sessions: Sequence[Session]


def routes(reception: Reception) -> list[Route]:
    """Make the routes."""

    async def many(request: web.Request) -> web.Response:
        failed = request.query.get("failed", "") == "true"
        limit = request.query.get("limit", str(LIMIT))
        if not limit.isdecimal() or len(limit) > 9:
            raise web.HTTPBadRequest(text="limit is a whole number")
        return _json(Sessions(await reception.sessions(int(limit), failed=failed)))

    async def one(_request: web.Request, number: str) -> web.Response:
        found = await reception.session(int(number)) if number.isdecimal() and len(number) < 19 else None
        if found is None:
            raise web.HTTPNotFound(text=f"there is no session {number[:20]}; the last ones are kept")
        lines = [Line(round(line.at, 3), line.mark, line.text) for line in found.lines or ()]
        return _json(msgspec.structs.replace(found, lines=lines))

    return [Route("GET", "/api/v1/sessions", many), Route("GET", "/api/v1/sessions/{number}", one)]


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
