"""The apprise sink, with Apprise's own json:// to a receiver on this machine."""

import asyncio
import base64
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import StringIO
from typing import Any

import pytest
from aiohttp import web

from mailbell.errors import SinkUnavailable
from mailbell.event.convert import ConvertOptions, convert
from mailbell.event.sample import sample
from mailbell.settings import AppriseSettings, Duration
from mailbell.sinks import registry
from mailbell.sinks.apprise import AppriseSink
from mailbell.sinks.base import Delivered, Retry, Sink
from tests.conftest import BOTH_LOOPS
from tests.sinks.conftest import PICTURE, House, event, mail
from tests.sinks.receiver import Receiver, answer, octets, receiving
from tests.tools import free_port

pytestmark = pytest.mark.filterwarnings(
    "ignore:'imghdr' is deprecated:DeprecationWarning"
)  # Apprise imports it

SAMPLE = convert(sample(), ConvertOptions())


def url(receiver: Receiver, path: str = "") -> str:
    return receiver.url.replace("http://", "json://") + path


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def log() -> Iterator[StringIO]:
    """What reaches the root logger, as mailbell's own log does; pytest's goes to Apprise's logger too."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


@asynccontextmanager
async def up(*urls: str, **settings: Any) -> AsyncIterator[AppriseSink]:
    sink = AppriseSink("phone", AppriseSettings(urls=urls, **settings))
    await sink.start()
    try:
        yield sink
    finally:
        await sink.stop()


def test_it_is_a_sink() -> None:
    sink: Sink = AppriseSink("phone", AppriseSettings(urls=("json://127.0.0.1",)))
    assert not sink.sequential


@BOTH_LOOPS
async def test_a_notification_with_its_picture(receiver: Receiver) -> None:
    async with up(url(receiver), title="{subject} at {source.ip}") as sink:
        assert await sink.deliver(SAMPLE) == Delivered()
    sent = json.loads(receiver.requests[0].body)
    assert sent["title"] == "Motion detected at 192.0.2.1"
    assert sent["message"] == "Motion detected on channel 1.\nThis is a sample that mailbell made."
    [image] = sent["attachments"]
    assert (image["filename"], image["mimetype"]) == ("snapshot.jpg", "image/jpeg")
    assert base64.b64decode(image["base64"]) == SAMPLE.attachment(0)


async def test_only_pictures_go_along_and_only_where_wanted(receiver: Receiver) -> None:
    part = b"--x\r\nContent-Type: application/octet-stream\r\n\r\n"
    raw = (
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
        + part
        + b"%PDF-1.4\r\n"
        + part
        + PICTURE
        + b"\r\n--x--\r\n"
    )
    item = event(raw=raw)
    for images, types in ((True, ["image/jpeg"]), (False, [])):
        async with up(url(receiver), images=images) as sink:
            assert await sink.deliver(item) == Delivered()
        sent = json.loads(receiver.requests.pop().body)
        assert [each["mimetype"] for each in sent["attachments"]] == types


@pytest.mark.parametrize("text", ["", "   \r\n  "])
async def test_an_empty_text_has_a_stand_in(receiver: Receiver, text: str) -> None:
    async with up(url(receiver)) as sink:
        assert await sink.deliver(event("", text)) == Delivered()
    assert json.loads(receiver.requests[0].body)["message"] == "(no text)"


async def test_a_long_text_is_cut(receiver: Receiver) -> None:
    async with up(url(receiver)) as sink:
        assert await sink.deliver(event("x", "ö" * 5000)) == Delivered()
    assert len(json.loads(receiver.requests[0].body)["message"]) == 1000


async def test_services_that_failed_are_tried_alone(receiver: Receiver) -> None:
    async with receiving() as other, up(url(receiver), url(other)) as sink:
        other.plan = [answer(500), answer(500)]
        for _ in range(2):
            outcome = await sink.deliver(SAMPLE)
            assert isinstance(outcome, Retry)
            assert outcome.reason.startswith("json: ")
            assert "500" in outcome.reason
        assert await sink.deliver(SAMPLE) == Delivered()
        assert (len(receiver.requests), len(other.requests)) == (1, 3)


async def test_a_service_that_hangs_holds_up_itself_only(receiver: Receiver) -> None:
    gate = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        await gate.wait()
        return web.Response()

    receiver.plan = [hang]
    async with receiving() as other:
        async with up(url(receiver), url(other), timeout=Duration(0.3)) as sink:
            for _ in range(2):  # the second waits for the thread, and is not sent once its time is over
                assert await sink.deliver(event()) == Retry("json: no success within 0.3 s")
            gate.set()
        assert len(other.requests) == 2
        assert len(receiver.requests) == 1


async def test_cut_connections_and_nobody_there(receiver: Receiver) -> None:
    receiver.plan = [octets(b""), octets(b"garbage\r\n\r\n")]
    async with up(url(receiver)) as sink:
        for _ in range(2):
            assert isinstance(await sink.deliver(SAMPLE), Retry)
        assert await sink.deliver(SAMPLE) == Delivered()
    async with up(f"json://127.0.0.1:{free_port()}") as sink:
        assert isinstance(await sink.deliver(SAMPLE), Retry)


@pytest.mark.parametrize(
    ("urls", "problem"),
    [
        (("json://127.0.0.1", "bogus://hunter2/x"), "urls[1]: no URL for Apprise; its page of bogus://"),
        (("tgram://hunter2/",), "urls[0]: no URL for Apprise; its page of tgram://"),
    ],
)
async def test_urls_that_are_none(urls: tuple[str, ...], problem: str, log: StringIO) -> None:
    settings = AppriseSettings(urls=urls)
    with pytest.raises(SinkUnavailable) as caught:
        await AppriseSink("phone", settings).start()
    assert str(caught.value) == f"{problem} has the form"
    assert registry.problems(settings) == [str(caught.value)]
    assert "hunter2" not in log.getvalue()


async def test_without_apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(SinkUnavailable, match=r'Apprise is not installed: pip install "mailbell\[apprise\]"'):
        await AppriseSink("phone", AppriseSettings(urls=("json://x",))).start()


async def test_secrets_are_not_shown(
    receiver: Receiver, log: StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.plan = [answer(401, "hunter2 is wrong")]
    secret = url(receiver, "/T0K3N?+X-Key=k3y-k3y").replace("//", "//me:hunter2@")
    settings = AppriseSettings(urls=(secret,))
    async with up(secret) as sink:
        shown = f"{await sink.deliver(SAMPLE)} {sink} {settings} {settings.describe()}"
    shown += log.getvalue() + "".join(capfd.readouterr())
    for each in ("hunter2", "T0K3N", "k3y-k3y"):
        assert each not in shown


async def test_through_the_loop(house: House, receiver: Receiver) -> None:
    """One service fails now and then: each of both has each event, the one without faults once."""
    async with receiving() as other:
        receiver.plan = [answer(500), octets(b""), answer(429), octets(b"garbage\r\n\r\n")] * 3
        settings = AppriseSettings(urls=(url(receiver), url(other)), title="{id}")
        await house.add(AppriseSink("phone", settings), settings)
        ids = await house.receive(*(mail(f"{number}") for number in range(20)))
        await house.settled("phone")
        assert sorted(titles(other)) == sorted(ids)
        assert set(titles(receiver)) == set(ids)
        assert len(receiver.requests) == 20 + 12
    assert not await house.parked("phone")


def titles(receiver: Receiver) -> list[str]:
    return [json.loads(each.body)["title"] for each in receiver.requests]
