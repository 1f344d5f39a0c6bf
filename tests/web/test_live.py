"""Events over the WebSocket."""

import asyncio
import contextlib
from typing import Any

import aiohttp
import pytest

from mailbell.mailbox import Change, Updated
from mailbell.web import live, shapes
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


async def test_one_who_does_not_read_is_dropped(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the other hears of everything."""
    monkeypatch.setattr(live, "QUEUE", 500)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]), limit=1024)
    writer.write(
        b"GET /api/events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert b"101" in await reader.readline()
    inbox = api.delivering.inbox
    assert inbox is not None
    async with api.http.ws_connect(f"{api.url}/api/events") as other, asyncio.timeout(60):
        for round_ in range(60):
            for number in range(200):
                inbox._publish(Updated(f"{round_}-{number}", tags=("x" * 2000,)))
            for number in range(200):
                assert (await next_of(other, "update"))["ID"] == f"{round_}-{number}"
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            while await reader.read(2**20):
                pass
    writer.close()


async def test_a_flood_becomes_one_request_to_look_again(api: Api) -> None:
    inbox = api.delivering.inbox
    assert inbox is not None
    async with api.http.ws_connect(f"{api.url}/api/events") as socket:
        for number in range(5000):
            inbox._publish(Updated(str(number), read=True))
        async with asyncio.timeout(10):
            assert (await socket.receive_json())["Type"] == "prune"
            rest = [(await socket.receive_json())["Type"] for _ in range(5)]
        assert "prune" not in rest


async def test_while_nobody_listens_nothing_is_made(api: Api) -> None:
    inbox, deliveries = api.delivering.inbox, api.delivering.deliveries
    assert inbox is not None
    async with api.http.ws_connect(f"{api.url}/api/events") as socket:
        await api.mail("one")
        await next_of(socket, "stats")
        assert len(inbox._listeners) == len(deliveries._listeners) == 1
    async with asyncio.timeout(5):
        while inbox._listeners or deliveries._listeners:
            await api.get("/api/v1/messages")
    await api.mail("two")
    async with api.http.ws_connect(f"{api.url}/api/events") as socket:
        await api.mail("three")
        assert (await next_of(socket, "new"))["Subject"] in ("two", "three")


async def test_a_bug_with_one_change_leaves_nobody_without_the_others(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = api.delivering.inbox
    assert inbox is not None
    real = shapes.change

    def fails(change: Change, mark: shapes.Marks) -> shapes.Message:
        if change == Updated("bad", read=True):
            raise ValueError("a bug")
        return real(change, mark)

    monkeypatch.setattr(shapes, "change", fails)
    async with api.http.ws_connect(f"{api.url}/api/events") as socket:
        inbox._publish(Updated("bad", read=True))
        inbox._publish(Updated("good", read=True))
        assert await next_of(socket, "update") == {"ID": "good", "Read": True}
    assert "a bug" in caplog.text
