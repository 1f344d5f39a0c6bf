"""Events over the WebSocket."""

import asyncio
from typing import Any

import aiohttp

from tests.web.conftest import Api
from tests.web.test_mailpit import SUMMARY, check


async def next_of(socket: aiohttp.ClientWebSocketResponse, kind: str) -> Any:
    """The data of the next event of a kind."""
    async with asyncio.timeout(5):
        while True:
            event = await socket.receive_json()
            assert event.keys() == {"Type", "Data"}
            if event["Type"] == kind:
                return event["Data"]


async def test_what_happens_is_told(api: Api) -> None:
    async with api.http.ws_connect(f"{api.url}/api/events") as socket:
        await api.mail("one")
        new = await next_of(socket, "new")
        check(new, SUMMARY)
        stats = await next_of(socket, "stats")
        assert (stats["Total"], stats["Unread"]) == (1, 1)
        assert stats.keys() == {"Total", "Unread", "Version"}
        await api.get("/api/v1/message/latest")
        assert await next_of(socket, "update") == {"ID": new["ID"], "Read": True}
        await api.ok("PUT", "/api/v1/tags", {"IDs": [new["ID"]], "Tags": ["t"]})
        assert await next_of(socket, "update") == {"ID": new["ID"], "Tags": ["t"]}
        await api.ok("DELETE", "/api/v1/messages", {"IDs": [new["ID"]]})
        assert await next_of(socket, "delete") == {"ID": new["ID"]}
        await api.ok("PUT", "/api/v1/messages", {"Read": True})
        assert await next_of(socket, "prune") is None
        await api.ok("DELETE", "/api/v1/messages")
        assert await next_of(socket, "truncate") is None


async def test_nobody_is_kept_who_has_gone(api: Api) -> None:
    inbox = api.delivering.inbox
    assert inbox
    for _ in range(3):
        async with api.http.ws_connect(f"{api.url}/api/events"):
            pass
    await api.mail("one")
    await api.get("/api/v1/messages")
    async with asyncio.timeout(5):
        while inbox._listeners:
            await api.get("/api/v1/messages")


async def test_plain_http_is_told_so(api: Api) -> None:
    assert (await api.ask("GET", "/api/events"))[0] == 400
