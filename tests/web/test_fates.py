"""What became of a mail: its event, and how it stands in each sink; marks in lists and over the WebSocket."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mailbell.settings import Duration, LogSettings, MatchSettings, ServiceSettings, WebhookSettings
from tests.sinks.receiver import Receiver, answer, receiving
from tests.web.conftest import Api, serving, settings
from tests.web.test_live import next_of


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def hooked(tmp_path: Path, receiver: Receiver) -> AsyncIterator[Api]:
    plain = settings(tmp_path / "data")
    sinks = {
        "hook": WebhookSettings(url=receiver.url),
        "night": WebhookSettings(url=receiver.url, match=MatchSettings(subject=("night*",))),
    }
    async with serving(ServiceSettings(**{**_fields(plain), "sinks": sinks})) as api:
        yield api


def _fields(what: ServiceSettings) -> dict[str, Any]:
    return {name: getattr(what, name) for name in what.__struct_fields__}


async def fates(api: Api, id_: str = "latest") -> dict[str, Any]:
    found = await api.get(f"/api/v1/message/{id_}/deliveries")
    return {each["sink"]: each for each in found["deliveries"]}


async def until(api: Api, state: str, sink: str = "hook") -> Any:
    async with asyncio.timeout(10):
        while (found := (await fates(api))[sink])["state"] != state:  # noqa: ASYNC110  over the API
            await asyncio.sleep(0.01)
    return found


async def test_the_event_in_both_forms(api: Api) -> None:
    await api.mail("Tür")
    full = await api.get("/api/v1/message/latest/event")
    assert (full["schema"], full["subject"]) == ("mailbell.event/1", "Tür")
    assert await api.get("/api/v1/message/latest/event?format=full") == full
    hsyco = await api.get("/api/v1/message/latest/event?format=hsyco")
    assert (hsyco["subject"], hsyco["body"]) == ("Tür", ["at the gate"])
    assert (await api.ask("GET", "/api/v1/message/latest/event?format=xml"))[0] == 400
    assert (await api.ask("GET", "/api/v1/message/none/event"))[0] == 404
    assert (await api.get("/api/v1/messages"))["unread"] == 1, "looking at the event is not reading the mail"


async def test_delivered_and_not_meant_for_a_sink(hooked: Api) -> None:
    await hooked.mail("day")
    found = await until(hooked, "settled")
    assert (found["attempts"], found["due"], found["reason"]) == (1, None, None)
    assert found["at"].endswith("Z")
    found = await until(hooked, "skipped", "night")
    assert "match" in found["reason"]
    assert (await hooked.get("/api/v1/messages"))["messages"][0]["Delivery"] == "done"


async def test_waiting_and_tried_at_once(hooked: Api, receiver: Receiver) -> None:
    receiver.plan.append(answer(503, "busy", Retry_After="3600"))
    await hooked.mail("day")
    found = await until(hooked, "waiting")
    assert found["attempts"] == 1
    assert found["due"] > found["at"]
    assert "503" in found["reason"]
    [summary] = (await hooked.get("/api/v1/messages"))["messages"]
    assert summary["Delivery"] == "trouble"
    picked = {"sink": "hook", "sequences": [summary["Sequence"]]}
    assert await hooked.ask("POST", "/api/v1/deliveries/drop", picked) == (200, '{"dropped":0}'), "not parked"
    assert await hooked.ask("POST", "/api/v1/deliveries/retry", picked) == (200, '{"retried":1}')
    await until(hooked, "settled")
    assert (await hooked.get("/api/v1/messages"))["messages"][0]["Delivery"] == "done"


async def test_parked_then_dropped(hooked: Api, receiver: Receiver) -> None:
    receiver.plan.append(answer(400, "never"))
    await hooked.mail("day")
    found = await until(hooked, "parked")
    assert "400" in found["reason"]
    assert (await hooked.get("/api/v1/messages"))["messages"][0]["Delivery"] == "trouble"
    picked = {"sink": "hook", "sequences": [1]}
    async with hooked.http.ws_connect(f"{hooked.url}/api/events") as socket:
        assert await hooked.ask("POST", "/api/v1/deliveries/drop", picked) == (200, '{"dropped":1}')
        assert (await next_of(socket, "update"))["Delivery"] == "done"
    assert (await hooked.get("/api/v1/messages"))["messages"][0]["Delivery"] == "done"


async def test_pending_while_the_sink_is_paused(hooked: Api) -> None:
    for sink in ("hook", "night"):
        assert (await hooked.ask("POST", f"/api/v1/sinks/{sink}/pause"))[0] == 200
    await hooked.mail("day")
    await until(hooked, "pending")
    assert (await hooked.get("/api/v1/messages"))["messages"][0]["Delivery"] == "pending"


async def test_marks_are_told_when_they_change(hooked: Api, receiver: Receiver) -> None:
    receiver.plan.append(answer(503, "busy", Retry_After="3600"))
    assert (await hooked.ask("POST", "/api/v1/sinks/hook/pause"))[0] == 200
    async with hooked.http.ws_connect(f"{hooked.url}/api/events") as socket:
        await hooked.mail("day")
        new = await next_of(socket, "new")
        assert new["Delivery"] == "pending"
        assert (await hooked.ask("POST", "/api/v1/sinks/hook/resume"))[0] == 200
        assert await next_of(socket, "update") == {"ID": new["ID"], "Delivery": "trouble"}
        picked = {"sink": "hook", "sequences": [new["Sequence"]]}
        await hooked.ask("POST", "/api/v1/deliveries/retry", picked)
        told = await next_of(socket, "update")
        while told["Delivery"] == "pending":
            told = await next_of(socket, "update")
        assert told == {"ID": new["ID"], "Delivery": "done"}


async def test_sinks_say_what_they_are(hooked: Api) -> None:
    hook, night = await hooked.get("/api/v1/sinks")
    assert (hook["name"], hook["type"], hook["match"]) == ("hook", "webhook", "")
    assert hook["describe"].startswith("webhook http://127.0.0.1:")
    assert night["match"] == "subject night*"
    await hooked.mail("night")
    await until(hooked, "settled", "night")
    assert (await hooked.get("/api/v1/sinks"))[1]["history"][-2:] in ([0, 1], [1, 0])


async def test_figures(hooked: Api) -> None:
    assert (await hooked.get("/api/v1/stats"))["latency"] is None
    await hooked.mail("day")
    await until(hooked, "settled")
    stats = await hooked.get("/api/v1/stats")
    assert len(stats["minutes"]) == 60
    assert sum(each["mails"] for each in stats["minutes"][-2:]) == 1
    assert sum(each["octets"] for each in stats["minutes"][-2:]) > 100
    assert stats["minutes"][0]["at"] < stats["minutes"][1]["at"]
    assert 0 < stats["latency"]["p50"] <= stats["latency"]["p99"] < 10_000
    assert stats["disk"]["used"] > 4096
    assert stats["disk"]["free"] > 0
    reader, writer = await asyncio.open_connection("127.0.0.1", hooked.smtp)
    writer.close()
    await reader.read()
    async with asyncio.timeout(10):
        while not await _refused(hooked):  # noqa: ASYNC110  over the API
            await asyncio.sleep(0.01)


async def _refused(api: Api) -> int:
    return sum(each["refused"] for each in (await api.get("/api/v1/stats"))["minutes"])


async def test_data_points_and_high_availability(api: Api) -> None:
    assert await api.get("/api/v1/io") == []
    await api.mail("one")
    await api.get("/api/v1/messages")
    [point] = await api.get("/api/v1/io")
    assert point["name"] == "smtp.mail"
    assert json.loads(point["value"])["subject"] == "one"
    assert point["at"].endswith("Z")
    alone = {"mode": "single", "active": True, "node": None, "since": None, "holder": None}
    assert await api.get("/api/v1/ha") == alone


async def test_settings_without_their_secrets(tmp_path: Path) -> None:
    hook = WebhookSettings(url="https://u:hunter2@hooks.lan/hunter2", retry_for=Duration(1))
    plain = settings(tmp_path)
    log = LogSettings(terminal=False)
    async with serving(ServiceSettings(**{**_fields(plain), "sinks": {"hook": hook}, "log": log})) as api:
        assert "hunter2" not in json.dumps(await api.get("/api/v1/config"))
        assert (await api.get("/api/v1/config"))["sinks"]["hook"]["type"] == "webhook"


async def test_a_thousand_who_only_listen(api: Api) -> None:
    """Streams and sockets, and a mail that all of them hear of."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        responses = [await http.get(f"{api.url}/api/v1/events") for _ in range(500)]
        sockets = [await http.ws_connect(f"{api.url}/api/events") for _ in range(500)]
        before = time.process_time()
        await asyncio.sleep(1)  # how much they cost while nothing happens
        idle = time.process_time() - before
        await api.mail("one")
        async with asyncio.timeout(30):
            for response in responses:
                while not (await response.content.readline()).startswith(b"data:"):
                    pass
            for socket in sockets:
                assert (await socket.receive_json())["Type"] == "new"
        for response in responses:
            response.close()
        await asyncio.gather(*(socket.close() for socket in sockets))
    assert idle < 0.25
