"""What a mail became, and what happened to it: `message/{ID}/event` and `message/{ID}/deliveries`."""

from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from mailbell.event.convert import Converted
from mailbell.event.date import moment_of
from mailbell.event.schema import MailEvent
from mailbell.journal.base import Fate
from mailbell.web import requests
from mailbell.web.events import Form, data
from mailbell.web.ports import Parts
from mailbell.web.routing import Route, reply


class Shown(requests.Query, frozen=True, kw_only=True):
    """In which form."""

    format: Annotated[Form, Meta(description="The full event, or the value of HSYCO's data point.")] = "full"


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with a sink. `due`: when it is tried again; `at`: when it was settled, or last failed."""

    sink: str
    state: Literal["settled", "waiting", "parked", "pending", "skipped"]
    attempts: int
    due: str | None
    reason: str | None
    at: str | None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with every sink."""

    sequence: int
    deliveries: list[Handed]


class Fates:
    """The handlers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[Route]:
        """What is answered here."""
        return [
            Route("GET", "/api/v1/message/{id_}/event", self.event, MailEvent, query=Shown),
            Route("GET", "/api/v1/message/{id_}/deliveries", self.deliveries, History),
        ]

    async def event(self, request: web.Request, id_: str) -> web.Response:
        """The event that a mail became."""
        form = requests.query(request, Shown).format
        _, item = await self._find(id_)
        return web.Response(body=data(item, form), content_type="application/json")

    async def deliveries(self, _request: web.Request, id_: str) -> web.Response:
        """How it stands with a mail in each sink."""
        sequence, item = await self._find(id_)
        found = [
            _handed(name, await each.fate(sequence, item)) for name, each in self._parts.deliveries.items()
        ]
        return reply(History(sequence=sequence, deliveries=found))

    async def _find(self, id_: str) -> tuple[int, Converted]:
        entry = await self._parts.mailbox.find(id_)
        if entry is None:
            raise web.HTTPNotFound(text="the inbox has no such mail")
        return entry.sequence, await self._parts.item(entry.sequence)


def _handed(sink: str, fate: Fate) -> Handed:
    return Handed(
        sink=sink,
        state=fate.state,
        attempts=fate.attempts,
        due=_moment(fate.due),
        reason=fate.reason,
        at=_moment(fate.at),
    )


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else moment_of(seconds)
