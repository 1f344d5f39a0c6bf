"""`/api/v1/events`: the events as they come, from where one has left off, none missed and none twice."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from aiohttp import web
from msgspec import Meta

from mailbell.errors import MailGone
from mailbell.event.convert import Converted
from mailbell.web import requests
from mailbell.web.ports import Engine
from mailbell.web.routing import Route
from mailbell.web.streams import PULSE, Message, Source, Streams

WINDOW = 100
"""Sequences that are tried one by one; of more, the journal is asked which of them it has."""

Form = Literal["full", "hsyco"]


class Following(requests.Query, frozen=True, kw_only=True):
    """From where, and for how long."""

    format: Annotated[Form, Meta(description="The full event, or the value of HSYCO's data point.")] = "full"
    last_event_id: Annotated[
        str, Meta(description="Go on behind this event; the header Last-Event-ID goes before it.")
    ] = ""
    last: Annotated[
        int, Meta(ge=0, le=10_000, description="Otherwise: begin with so many of the last ones.")
    ] = 0
    follow: Annotated[bool, Meta(description="false: end when all that is there now has been sent.")] = True


class Events:
    """The handler."""

    def __init__(self, engine: Engine, streams: Streams) -> None:
        self._journal = engine.journal
        self._head = engine.head
        self._item = engine.item
        self._streams = streams

    def routes(self) -> list[Route]:
        """What is answered here."""
        return [Route("GET", "/api/v1/events", self.events, "text/event-stream", query=Following)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The events as they come, as server-sent events; `id` is the event's sequence."""
        asked = requests.query(request, Following)
        after = self._start(request.headers.get("Last-Event-ID") or asked.last_event_id, asked.last)
        until = None if asked.follow else self._journal.last_sequence
        return await self._streams.serve(request, self._follow(after, until, asked.format))

    def _start(self, known: str, last: int) -> int:
        """The event behind which to begin. A journal put back from a backup may not be as far as `known`."""
        if not known:
            return max(0, self._journal.last_sequence - last)
        if not re.fullmatch("[0-9]{1,18}", known):
            raise web.HTTPBadRequest(text=f"Last-Event-ID is the number of an event, not {known[:30]!a}")
        return min(int(known), self._journal.last_sequence)

    async def _follow(self, after: int, until: int | None, form: Form) -> Source:
        while until is None or after < until:
            try:
                async with asyncio.timeout(PULSE):
                    head = await self._head.beyond(after)
            except TimeoutError:
                yield None
                continue
            head = head if until is None else min(head, until)
            async for sequence in self._stored(after, head):
                try:
                    item = await self._item(sequence)
                except MailGone:
                    continue  # retention was quicker
                yield Message(str(sequence), "mail", data(item, form))
            after = head

    async def _stored(self, after: int, until: int) -> AsyncIterator[int]:
        """The sequences in between, most of those that retention has removed left out."""
        while until - after > WINDOW:
            found = await self._journal.stored(after, until, WINDOW)
            for sequence in found:
                yield sequence
            after = found[-1] if found else until
        for sequence in range(after + 1, until + 1):
            yield sequence


def data(item: Converted, form: Form) -> bytes:
    """An event in one of its forms, as one line of JSON."""
    return item.json if form == "full" else item.value.encode()
