"""The transcripts of SMTP connections through the API: `GET /api/v1/sessions` and `/api/v1/sessions/{id}`."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import msgspec
from aiohttp import web

from mailbell.web.routing import Route

LIMIT = 100


class Transcript(Protocol):
    """What was said on one connection."""

    id: int
    ioserver: str
    ip: str
    port: int
    started_at: float
    ended_at: float | None
    tls: str
    mails: int
    outcome: str

    @property
    def lines(self) -> Iterable[Any]:
        """Each with `at` (seconds since the begin), `mark` and `text`."""
        ...

    @property
    def left_out(self) -> int:
        """How many of the first lines are no longer here."""
        ...

    @property
    def failed(self) -> bool:
        """Ended, and no mail was taken."""
        ...


class Transcripts(Protocol):
    """The last connections."""

    def __iter__(self) -> Iterator[Transcript]:
        """All of them, newest first."""
        ...

    def get(self, id_: int) -> Transcript | None:
        """The one with this number, if it is still kept."""
        ...


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


class Sessions(msgspec.Struct, frozen=True):
    """Some of them, newest first."""

    sessions: list[Session]


def routes(transcripts: Transcripts) -> list[Route]:
    """Make the routes."""

    async def many(request: web.Request) -> web.Response:
        only_failed = request.query.get("failed", "") == "true"
        limit = request.query.get("limit", str(LIMIT))
        if not limit.isdecimal() or len(limit) > 9:
            raise web.HTTPBadRequest(text="limit is a whole number")
        found = (each for each in transcripts if each.failed or not only_failed)
        return _json(Sessions([_shape(each) for each, _ in zip(found, range(int(limit)), strict=False)]))

    async def one(_request: web.Request, number: str) -> web.Response:
        transcript = transcripts.get(int(number)) if number.isdecimal() and len(number) < 19 else None
        if transcript is None:
            raise web.HTTPNotFound(text=f"there is no session {number[:20]}; the last ones are kept")
        return _json(_shape(transcript, whole=True))

    return [Route("GET", "/api/v1/sessions", many), Route("GET", "/api/v1/sessions/{number}", one)]


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


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
