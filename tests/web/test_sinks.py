"""The sinks over the API: a script that fails, parks, is paused and replayed, in a whole server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mailbell.app import App
from mailbell.settings import (
    Duration,
    IoServerSettings,
    LogSettings,
    ScriptSettings,
    ServiceSettings,
    WebhookSettings,
    WebSettings,
)
from tests.sinks.receiver import Receiver, answer, receiving
from tests.tools import free_port
from tests.web.conftest import Api


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def api(tmp_path: Path, receiver: Receiver) -> AsyncIterator[Api]:
    script = tmp_path / "note.py"
    script.write_text("def on_mail(event): pass")
    settings = ServiceSettings(
        data=tmp_path / "data",
        log=LogSettings(terminal=False),
        ioservers={"smtp": IoServerSettings(port=free_port(), listen=("127.0.0.1",))},
        web=WebSettings(listen=f"127.0.0.1:{free_port()}"),
        sinks={
            "note": ScriptSettings(path=script),
            "hook": WebhookSettings(url=receiver.url, retry_for=Duration(0)),
        },
    )
    async with App(settings) as app, aiohttp.ClientSession() as http:
        yield Api(app, http)


async def status(api: Api, name: str) -> Any:
    [found] = [each for each in await api.get("/api/v1/sinks") if each["name"] == name]
    return found


async def settled(api: Api, name: str) -> Any:
    async with asyncio.timeout(10):
        while (await status(api, name))["lag"]:  # noqa: ASYNC110  a number over the API
            await asyncio.sleep(0.01)
    return await status(api, name)


async def test_a_sink_that_is_well(api: Api) -> None:
    await api.mail()
    it = await settled(api, "note")
    assert (it["state"], it["delivered"], it["parked"], it["retried"]) == ("up", 1, 0, 0)
    assert it["rate"] > 0
    assert it["last_error"] is None


async def test_what_is_parked_is_listed_and_tried_again_or_dropped(api: Api, receiver: Receiver) -> None:
    receiver.plan += [answer(400, "no"), answer(400, "no")]
    await api.mail("one")
    await api.mail("two")
    it = await settled(api, "hook")
    assert (it["parked"], it["delivered"]) == (2, 0)
    assert "400" in it["last_error"]
    parked = await api.get("/api/v1/deliveries?state=parked")
    assert [(each["sink"], each["sequence"], each["attempts"]) for each in parked] == [
        ("hook", 1, 1),
        ("hook", 2, 1),
    ]
    picked = {"sink": "hook", "sequences": [1, 77]}
    assert await api.ask("POST", "/api/v1/deliveries/retry", picked) == (200, '{"retried":1}')
    it = await settled(api, "hook")
    assert (it["parked"], it["delivered"]) == (1, 1)
    picked = {"sink": "hook", "sequences": [2]}
    assert await api.ask("POST", "/api/v1/deliveries/drop", picked) == (200, '{"dropped":1}')
    assert await api.get("/api/v1/deliveries") == []
    assert len(receiver.requests) == 3


async def test_paused_then_resumed(api: Api, receiver: Receiver) -> None:
    assert (await api.ask("POST", "/api/v1/sinks/hook/pause"))[0] == 200
    await api.mail()
    await settled(api, "note")
    it = await status(api, "hook")
    assert (it["state"], it["paused"], it["lag"]) == ("paused", "asked for", 1)
    assert not receiver.requests
    assert (await api.ask("POST", "/api/v1/sinks/hook/resume"))[0] == 200
    it = await settled(api, "hook")
    assert (it["state"], it["delivered"]) == ("up", 1)


async def test_replay(api: Api, receiver: Receiver) -> None:
    for subject in ("one", "two", "three"):
        await api.mail(subject)
    await settled(api, "hook")
    replay = "/api/v1/sinks/hook/replay"
    assert await api.ask("POST", replay, {"sequences": [2]}) == (200, '{"replayed":1}')
    assert (await settled(api, "hook"))["delivered"] == 4
    assert await api.ask("POST", replay, {"since": 0}) == (200, '{"replayed":3}')
    assert (await settled(api, "hook"))["delivered"] == 7
    newest, *_ = await api.ids()
    assert await api.ask("POST", replay, {"ids": [newest]}) == (200, '{"replayed":1}')
    assert (await settled(api, "hook"))["delivered"] == 8
    assert await api.ask("POST", replay, {"since": 4e9}) == (200, '{"replayed":0}')
    assert await api.ask("POST", replay, {"parked": True}) == (200, '{"replayed":0}')


@pytest.mark.parametrize(
    ("path", "body", "code", "says"),
    [
        ("sinks/none/pause", None, 404, "known: note, hook"),
        ("sinks/hook/replay", {}, 400, "one of parked, ids, sequences, since"),
        ("sinks/hook/replay", {"ids": ["gone"]}, 404, "the inbox has no mail 'gone'"),
        ("sinks/hook/replay", {"since": 1, "parked": True}, 400, "one of"),
        ("sinks/hook/replay", {"seqences": [1]}, 400, "seqences"),
        ("sinks/hook/replay", b"{", 400, "the body"),
        ("deliveries/drop", {"sink": "none", "sequences": []}, 404, "no sink 'none'"),
    ],
)
async def test_what_makes_no_sense_is_said(api: Api, path: str, body: object, code: int, says: str) -> None:
    status, text = await api.ask("POST", f"/api/v1/{path}", body)
    assert status == code
    assert says in text
