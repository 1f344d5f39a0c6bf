"""The transcripts of SMTP connections through the API: `GET /api/v1/sessions` and `/api/v1/sessions/{id}`."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from mailbell.reception import Line, Reception, Session
from mailbell.web import requests
from mailbell.web.routing import Route, reply


class Wanted(requests.Query, frozen=True, kw_only=True):
    """Which connections."""

    failed: Annotated[bool, Meta(description="Only those that brought no mail.")] = False
    limit: Annotated[int, Meta(ge=0, le=10**9, description="The most that are answered.")] = 100


class Sessions(msgspec.Struct, frozen=True):
    """Some of them, newest first."""

    sessions: Sequence[Session]


def routes(reception: Reception) -> list[Route]:
    """Make the routes."""

    async def many(request: web.Request) -> web.Response:
        """The last connections, newest first."""
        asked = requests.query(request, Wanted)
        return reply(Sessions(await reception.sessions(asked.limit, failed=asked.failed)))

    async def one(_request: web.Request, number: str) -> web.Response:
        """A connection, and what was said on it."""
        found = await reception.session(int(number)) if number.isdecimal() and len(number) < 19 else None
        if found is None:
            raise web.HTTPNotFound(text=f"there is no session {number[:20]}; the last ones are kept")
        lines = [Line(round(line.at, 3), line.mark, line.text) for line in found.lines or ()]
        return reply(msgspec.structs.replace(found, lines=lines))

    return [
        Route("GET", "/api/v1/sessions", many, Sessions, query=Wanted),
        Route("GET", "/api/v1/sessions/{number}", one, Session),
    ]
