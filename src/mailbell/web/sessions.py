"""The transcripts of SMTP connections through the API: `GET /api/v1/sessions` and `/api/v1/sessions/{id}`."""

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from mailbell.web import requests
from mailbell.web.ports import Transcript, Transcripts
from mailbell.web.routing import Route, reply


class Line(msgspec.Struct, frozen=True):
    """A line of a dialogue: `<` in, `>` out or `=` state."""

    at: float
    mark: str
    text: str


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A connection in JSON; times are seconds since the epoch, `ended_at` is null while it is open."""

    id: int
    ioserver: str
    ip: str
    port: int
    started_at: float
    ended_at: float | None
    tls: str
    mails: int
    failed: bool
    outcome: str
    left_out: int = 0
    lines: Sequence[Line] | None = None


class Wanted(requests.Query, frozen=True, kw_only=True):
    """Which connections."""

    failed: Annotated[bool, Meta(description="Only those that brought no mail.")] = False
    limit: Annotated[int, Meta(ge=0, le=10**9, description="The most that are answered.")] = 100


class Sessions(msgspec.Struct, frozen=True):
    """Some of them, newest first."""

    sessions: list[Session]


def routes(transcripts: Transcripts) -> list[Route]:
    """Make the routes."""

    async def many(request: web.Request) -> web.Response:
        """The last connections, newest first."""
        asked = requests.query(request, Wanted)
        found = (each for each in transcripts if each.failed or not asked.failed)
        return reply(Sessions([_shape(each) for each in islice(found, asked.limit)]))

    async def one(_request: web.Request, number: str) -> web.Response:
        """A connection, and what was said on it."""
        transcript = transcripts.get(int(number)) if number.isdecimal() and len(number) < 19 else None
        if transcript is None:
            raise web.HTTPNotFound(text=f"there is no session {number[:20]}; the last ones are kept")
        return reply(_shape(transcript, whole=True))

    return [
        Route("GET", "/api/v1/sessions", many, Sessions, query=Wanted),
        Route("GET", "/api/v1/sessions/{number}", one, Session),
    ]


def _shape(transcript: Transcript, *, whole: bool = False) -> Session:
    lines = [Line(round(line.at, 3), line.mark, line.text) for line in transcript.lines] if whole else None
    return Session(
        id=transcript.id,
        ioserver=transcript.ioserver,
        ip=transcript.ip,
        port=transcript.port,
        started_at=transcript.started_at,
        ended_at=transcript.ended_at,
        tls=transcript.tls,
        mails=transcript.mails,
        failed=transcript.failed,
        outcome=transcript.outcome,
        left_out=transcript.left_out if whole else 0,
        lines=lines,
    )
