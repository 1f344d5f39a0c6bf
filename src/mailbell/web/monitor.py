"""`/api/v1/monitor`: the log as it is written, the IO MONITOR's lines among it."""

from typing import Annotated

from aiohttp import web
from msgspec import Meta

from mailbell.web import requests
from mailbell.web.routing import Route
from mailbell.web.streams import Streams
from mailbell.web.tap import Tap


class Watching(requests.Query, frozen=True, kw_only=True):
    """From where."""

    last_event_id: Annotated[
        str, Meta(description="Go on behind this line; the header Last-Event-ID goes before it.")
    ] = ""


class Monitor:
    """The handler."""

    def __init__(self, tap: Tap, streams: Streams) -> None:
        self._tap = tap
        self._streams = streams

    def routes(self) -> list[Route]:
        """What is answered here."""
        return [Route("GET", "/api/v1/monitor", self.monitor, "text/event-stream", query=Watching)]

    async def monitor(self, request: web.Request) -> web.StreamResponse:
        """The log as it is written, as server-sent events: the last 200 lines, then each new one."""
        known = request.headers.get("Last-Event-ID") or requests.query(request, Watching).last_event_id
        return await self._streams.serve(request, self._tap.follow(self._tap.position(known)))
