"""The events as they come: nothing missed, nothing twice, whatever becomes of the connection."""

import asyncio
import json
import random
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest

from mailbell.app import App
from mailbell.errors import JournalUnavailable
from mailbell.event.convert import Converted
from mailbell.journal.sqlite import SqliteJournal
from mailbell.settings import JournalSettings, Size
from mailbell.web.events import Events
from mailbell.web.streams import Streams
from tests.conftest import BOTH_LOOPS
from tests.page import page_mail
from tests.web.conftest import Api, serving, settings
from tests.web.reading import listening


@pytest.mark.parametrize("form", ["full", "hsyco"])
async def test_events_come_as_mail_comes(api: Api, form: str) -> None:
    await api.mail("before")
    async with listening(api.http, f"{api.url}/api/v1/events?format={form}") as events:
        for subject in ("one", "two"):
            await api.mail(subject)
            sent = await anext(events)
            assert (sent.event, sent.data["subject"]) == ("mail", subject)
            assert ("schema" in sent.data) == (form == "full")
        assert sent.id == "3"


async def test_the_last_ones_and_no_more(api: Api) -> None:
    for number in range(5):
        await api.mail(f"n{number}")
    await api.get("/api/v1/messages")
    async with listening(api.http, f"{api.url}/api/v1/events?last=2&follow=false") as events:
        assert [each.data["subject"] async for each in events] == ["n3", "n4"]
    async with listening(api.http, f"{api.url}/api/v1/events?last_event_id=3&follow=false") as events:
        assert [each.id async for each in events] == ["4", "5"]
    async with listening(api.http, f"{api.url}/api/v1/events?follow=false") as events:
        assert [each async for each in events] == []


@BOTH_LOOPS
async def test_nothing_is_missed_and_nothing_comes_twice_across_reconnects(api: Api) -> None:
    """One who listens is cut off again and again, at any moment, while mail comes in."""
    dice, last = random.Random(1), "0"
    seen: list[str] = []

    async def send() -> None:
        for number in range(120):
            await api.mail(f"n{number}")

    sending = asyncio.create_task(send())
    async with asyncio.timeout(60):
        while len(seen) < 120:
            async with listening(api.http, f"{api.url}/api/v1/events", last) as events:
                for _ in range(min(dice.randint(0, 15), 120 - len(seen))):
                    sent = await anext(events)
                    seen.append(sent.data["subject"])
                    last = sent.id
    await sending
    assert seen == [f"n{number}" for number in range(120)]


async def test_across_a_restart_of_the_server(tmp_path: Path) -> None:
    what = settings(tmp_path)
    async with serving(what) as api:
        await api.mail("one")
        async with listening(api.http, f"{api.url}/api/v1/events?last=1") as events:
            last = (await anext(events)).id
        await api.mail("two")
    async with serving(what) as api:
        await api.mail("three")
        async with listening(api.http, f"{api.url}/api/v1/events", last) as events:
            assert [(await anext(events)).data["subject"] for _ in range(2)] == ["two", "three"]


async def test_what_retention_has_removed_is_passed_over(api: Api) -> None:
    for number in range(250):
        await api.mail(f"n{number}")
    await api.get("/api/v1/messages")
    journal = api.delivering.journal
    assert isinstance(journal, SqliteJournal)
    journal._settings = JournalSettings(max_size=Size(1))
    await journal.trim()
    async with listening(api.http, f"{api.url}/api/v1/events?follow=false", "0") as events:
        ids = [int(each.id) async for each in events]
    assert ids
    assert ids[-1] == 250
    assert len(ids) < 250


async def test_one_who_knows_more_than_the_journal_hears_what_comes(api: Api) -> None:
    """The journal was put back from a backup."""
    await api.mail("one")
    await api.get("/api/v1/messages")
    async with listening(api.http, f"{api.url}/api/v1/events", "4711") as events:
        await api.mail("two")
        assert (await anext(events)).data["subject"] == "two"


@pytest.mark.parametrize("wrong", ["x", "-1", "1.5", "²", "9" * 30])
async def test_an_id_that_is_none(api: Api, wrong: str) -> None:
    status, text = await api.ask("GET", "/api/v1/events", Last_Event_ID=wrong)
    assert (status, "number of an event" in text) == (400, True)
    status, text = await api.ask("GET", f"/api/v1/events?last_event_id={wrong}")
    assert (status, "number of an event" in text) == (400, True)


async def test_stopping_does_not_wait_for_those_who_listen(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http, AsyncExitStack() as stack:
        async with App(settings(tmp_path)) as app:
            paths = ("events", "events", "monitor")
            streams = [
                await stack.enter_async_context(listening(http, f"{app.url}/api/v1/{path}")) for path in paths
            ]
            socket = await stack.enter_async_context(http.ws_connect(f"{app.url}/api/events"))
            loop = asyncio.get_running_loop()
            began = loop.time()
        assert loop.time() - began < 5
        for each in streams:
            assert [sent.event async for sent in each if sent.event != "line"] == []
        assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE


async def test_one_who_does_not_read_is_cut_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from mailbell.web import streams

    monkeypatch.setattr(streams, "SLOW", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]), limit=1024)
    writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readline()
    text = "x" * 70 + "\n"
    sent = 0
    for _ in range(60):
        await api.mail(text=text * 4000)
        sent += 1
    async with asyncio.timeout(20):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            while True:
                await reader.readexactly(2**20)
    writer.close()
    assert await api.subjects() == ["Motion"] * 50
    assert sent == 60


async def test_a_head_request_ends(api: Api) -> None:
    for path in ("events", "monitor"):
        assert await api.ask("HEAD", f"/api/v1/{path}") == (200, "")


async def test_the_full_event_is_what_its_schema_says(api: Api) -> None:
    import fastjsonschema

    await api.mail()
    valid = fastjsonschema.compile(await api.get("/api/v1/schema/event.json"))
    async with listening(api.http, f"{api.url}/api/v1/events?last=1") as events:
        await api.get("/api/v1/messages")
        valid((await anext(events)).data)
    assert json.dumps(await api.get("/api/v1/message/latest/event"))


async def test_a_stream_whose_source_fails_ends_and_is_no_second_answer(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def unreadable(_: int) -> Converted:
        raise JournalUnavailable("the disk is gone")

    await api.mail("one")
    await api.get("/api/v1/messages")
    monkeypatch.setattr(api.delivering.journal, "read", unreadable)
    api.delivering._feed.use({})  # forgets what it keeps
    reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
    writer.write(b"GET /api/v1/events?last=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.startswith(b"HTTP/1.1 200")
    assert "the disk is gone" in caplog.text


async def test_the_end_is_reached_once_where_the_monitor_lags() -> None:
    heads = iter([3, 5])

    class Lagging:
        async def beyond(self, sequence: int) -> int:
            return next(heads)

    async def item(sequence: int) -> Converted:
        return page_mail()

    engine = SimpleNamespace(journal=SimpleNamespace(), head=Lagging(), item=item)
    source = Events(engine, Streams())._follow(0, 5, "hsyco")  # type: ignore[arg-type]
    assert [sent.id async for sent in source if sent] == ["1", "2", "3", "4", "5"]
