"""A reader of server-sent events, as a browser's EventSource reads them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp


class Sent(NamedTuple):
    id: str
    event: str
    data: Any


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[Sent]:
    """The events of a stream, comments left out."""
    fields: dict[str, str] = {}
    async for line in response.content:
        text = line.decode().rstrip("\n")
        if text.startswith(":"):
            continue
        if text:
            name, _, value = text.partition(": ")
            fields[name] = value
        elif fields:
            yield Sent(fields["id"], fields["event"], json.loads(fields["data"]))
            fields = {}


@asynccontextmanager
async def listening(
    http: aiohttp.ClientSession, url: str, last: str | None = None
) -> AsyncIterator[AsyncIterator[Sent]]:
    """A stream from behind the last event that one has had."""
    headers = {} if last is None else {"Last-Event-ID": last}
    async with http.get(url, headers=headers, timeout=aiohttp.ClientTimeout(20)) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        first = await response.content.readline()
        assert first.startswith(b":"), "the answer begins at once"
        yield events(response)
