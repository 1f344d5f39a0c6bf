"""The webhook sink against aiohttp's server, with the reference libraries of the formats it speaks."""

import asyncio
import base64
import json
import secrets
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from mailbell.clock import SystemClock
from mailbell.errors import SinkUnavailable
from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.event.sample import sample
from mailbell.settings import Duration, SinkSettings, Size, WebhookSettings
from mailbell.sinks import cloudevents
from mailbell.sinks.base import Delivered, Outcome, Pause, Reject, Retry, Sink
from mailbell.sinks.webhook import WebhookSink, retry_after
from tests.conftest import BOTH_LOOPS
from tests.sinks.conftest import House, certified, event, mail
from tests.sinks.receiver import Receiver, answer, octets, receiving
from tests.tools import ROOT, free_port

SAMPLE = convert(sample(), ConvertOptions())
KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()

Hook = Callable[..., AbstractAsyncContextManager[WebhookSink]]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def hook(receiver: Receiver) -> Hook:
    """A sink that is up and posts to the receiver."""

    @asynccontextmanager
    async def up(**settings: object) -> AsyncIterator[WebhookSink]:
        sink = WebhookSink("hook", WebhookSettings(**({"url": receiver.url} | settings)))  # type: ignore[arg-type]
        await sink.start()
        try:
            yield sink
        finally:
            await sink.stop()

    return up


def test_it_is_a_sink() -> None:
    sink: Sink = WebhookSink("hook", WebhookSettings(url="http://127.0.0.1/"))
    assert not sink.sequential


@BOTH_LOOPS
async def test_the_forms(receiver: Receiver, hook: Hook) -> None:
    for form, expected in (("full", SAMPLE.json), ("hsyco", SAMPLE.value.encode())):
        async with hook(body=form) as sink:
            assert await sink.deliver(SAMPLE) == Delivered()
        headers, body = receiver.requests.pop()
        assert body == expected
        assert headers["content-type"] == "application/json"
        assert headers["user-agent"].startswith("mailbell/")


async def test_the_signature_is_what_the_library_verifies(receiver: Receiver, hook: Hook) -> None:
    async with hook(secrets=(KEY, OTHER_KEY)) as sink:
        await sink.deliver(SAMPLE)
    headers, body = receiver.requests[0]
    for key in (KEY, OTHER_KEY):  # whoever has either of them, while one replaces the other
        assert Webhook(key).verify(body, headers)["id"] == SAMPLE.event.id
    assert headers["webhook-id"] == SAMPLE.event.id
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(KEY).verify(body.replace(b"Motion", b"Notion"), headers)


async def test_the_id_stays_over_retries_and_the_timestamp_does_not(receiver: Receiver, hook: Hook) -> None:
    class Late(SystemClock):
        def time(self) -> float:
            return super().time() + 100

    receiver.plan = [answer(500)]
    async with hook(secrets=(KEY,)) as sink:
        assert isinstance(await sink.deliver(SAMPLE), Retry)
        sink._clock = Late()
        assert await sink.deliver(SAMPLE) == Delivered()
    first, second = receiver.requests
    assert first.id == second.id
    assert int(second.headers["webhook-timestamp"]) >= int(first.headers["webhook-timestamp"]) + 100
    for each in (first, second):
        Webhook(KEY).verify(each.body, each.headers)


SUBJECT = "=?utf-8?q?Bewegung_=C3=BCber_100=25_=22T=C3=BCr=22_=E2=82=AC?="


@pytest.mark.parametrize("mode", ["cloudevents", "cloudevents-binary"])
async def test_a_cloudevent_is_what_the_library_reads(receiver: Receiver, hook: Hook, mode: str) -> None:
    item = event(SUBJECT)
    async with hook(body=mode) as sink:
        await sink.deliver(item)
    headers, body = receiver.requests[0]
    read = from_http_event(HTTPMessage(headers, body))
    assert read.get_specversion() == "1.0"
    assert read.get_id() == item.event.id
    assert read.get_source() == "mailbell:smtp"
    assert read.get_type() == "mailbell.mail.received"
    assert read.get_time() == datetime(2016, 1, 25, 17, 24, 49, 582000, UTC)
    assert read.get_subject() == 'Bewegung über 100% "Tür" €'
    assert read.get_datacontenttype() == "application/json"
    assert read.get_data() == json.loads(item.json)
    structured = mode == "cloudevents"
    assert headers["content-type"] == ("application/cloudevents+json" if structured else "application/json")
    assert ("ce-id" in headers) is not structured


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_any_subject_makes_a_cloudevent_that_the_library_reads(subject: str) -> None:
    event = msgspec.structs.replace(SAMPLE.event, subject=subject)
    for make in (cloudevents.structured, cloudevents.binary):
        headers, body = make(event, b"{}")
        assert all(value.isascii() and value.isprintable() for value in headers.values())
        assert sum(map(len, headers.values())) < 4096
        read = from_http_event(HTTPMessage(dict(headers), body)).get_subject()
        assert read == cloudevents.attributes(event).get("subject")


def with_files(*files: bytes) -> Converted:
    parts = [
        f"--x\r\nContent-Type: image/jpeg; name={n}.jpg\r\n\r\n".encode() + each
        for n, each in enumerate(files)
    ]
    raw = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"\r\n".join(parts) + b"\r\n--x--\r\n"
    return event(raw=raw)


async def test_attachments_as_urls(receiver: Receiver, hook: Hook) -> None:
    item = with_files(b"one", b"two")
    async with hook(attachments="url", page="http://bell.lan:8025/") as sink:
        await sink.deliver(item)
        await sink.deliver(event())
    sent, plain = (json.loads(each.body) for each in receiver.requests)
    assert plain["attachments"] == []
    base = f"http://bell.lan:8025/api/v1/message/{item.event.id}/part/"
    assert [each["url"] for each in sent["attachments"]] == [f"{base}1", f"{base}2"]


async def test_attachments_inside_up_to_the_cap(receiver: Receiver, hook: Hook) -> None:
    item = with_files(b"12345", b"123456", b"1234")
    async with hook(attachments="inline", inline_max=Size(10)) as sink:
        await sink.deliver(item)
    sent = json.loads(receiver.requests[0].body)
    contents = [each.pop("content") for each in sent["attachments"]]
    assert contents == [base64.b64encode(b"12345").decode(), None, base64.b64encode(b"1234").decode()]
    assert sent == json.loads(item.json)


async def test_a_body_of_megabytes(receiver: Receiver, hook: Hook) -> None:
    item = with_files(b"x" * 3_000_000)
    async with hook(attachments="inline", inline_max=Size(2**22), secrets=(KEY,)) as sink:
        assert await sink.deliver(item) == Delivered()
    assert (
        len(
            Webhook(KEY).verify(receiver.requests[0].body, receiver.requests[0].headers)["attachments"][0][
                "content"
            ]
        )
        == 4_000_000
    )


async def test_header_fields_of_the_user(receiver: Receiver, hook: Hook) -> None:
    async with hook(headers={"X-Api-Key": "ö k", "content-type": "text/plain"}) as sink:
        await sink.deliver(SAMPLE)
    headers = receiver.requests[0].headers
    assert headers["x-api-key"] == "ö k"
    assert headers["content-type"] == "text/plain"


async def test_user_and_password_in_the_url(receiver: Receiver, hook: Hook) -> None:
    async with hook(url=receiver.url.replace("//", "//me:hunter2@")) as sink:
        await sink.deliver(SAMPLE)
    assert (
        receiver.requests[0].headers["authorization"] == "Basic " + base64.b64encode(b"me:hunter2").decode()
    )


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Delivered()),
        (204, Delivered()),
        (302, Retry("answered 302 Found: oops; redirects are not followed, so set url to where it points")),
        (400, Reject("answered 400 Bad Request: oops")),
        (401, Reject("answered 401 Unauthorized: oops")),
        (404, Reject("answered 404 Not Found: oops")),
        (408, Retry("answered 408 Request Timeout: oops")),
        (410, Pause("answered 410 Gone: oops")),
        (425, Retry("answered 425 Too Early: oops")),
        (429, Retry("answered 429 Too Many Requests: oops")),
        (500, Retry("answered 500 Internal Server Error: oops")),
        (503, Retry("answered 503 Service Unavailable: oops")),
    ],
)
async def test_outcomes(receiver: Receiver, hook: Hook, status: int, outcome: Outcome) -> None:
    receiver.plan = [answer(status, "" if status == 204 else "oops", Location=receiver.url)]
    async with hook() as sink:
        assert await sink.deliver(SAMPLE) == outcome
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (b"", Retry("Server disconnected")),
        (b"garbage\r\n\r\n", "the answer is not HTTP: "),
        (b"\xff\x00" * 5000, "the answer is not HTTP: "),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "the answer is not HTTP: "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\ncut", Delivered()),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\n\r\nxyz", Delivered()),
        (b"HTTP/1.1 503 \r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\ncut", Retry("answered 503 : cut", 7)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the answer is not HTTP: "),
    ],
)
async def test_answers_cut_or_garbled(
    receiver: Receiver, hook: Hook, data: bytes, outcome: Outcome | str
) -> None:
    receiver.plan = [octets(data)]
    async with hook() as sink:
        came = await sink.deliver(SAMPLE)
        if isinstance(outcome, str):
            assert isinstance(came, Retry)
            assert came.reason.startswith(outcome)
            assert len(came.reason) < 250
        else:
            assert came == outcome
        assert await sink.deliver(SAMPLE) == Delivered()


async def test_a_receiver_too_slow_and_one_that_is_not_there(receiver: Receiver, hook: Hook) -> None:
    async def never(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(60)
        return response

    receiver.plan = [never, endless]
    async with hook(timeout=Duration(0.2)) as sink:
        assert await sink.deliver(SAMPLE) == Retry("no answer within 0.2 s")
        assert await sink.deliver(SAMPLE) == Delivered(), "it has said 200"
    async with hook(url=f"http://127.0.0.1:{free_port()}") as sink:
        outcome = await sink.deliver(SAMPLE)
    assert isinstance(outcome, Retry)
    assert outcome.reason.startswith("Cannot connect to host 127.0.0.1")


NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120),
        ("0", 1),
        ("9" * 5000, 86400),
        (format_datetime(NOW.replace(minute=2), usegmt=True), 120),
        (format_datetime(NOW.replace(year=2025), usegmt=True), 1),
        ("Wed, 21 Oct 9999999 07:28:00 GMT", None),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW.timestamp()) == seconds


@given(st.text())
def test_any_retry_after_is_bounded(value: str) -> None:
    seconds = retry_after(value, 0)
    assert seconds is None or 1 <= seconds <= 86400


async def test_tls_with_a_certificate_of_its_own(tmp_path: Path, hook: Hook) -> None:
    certificate, key = certified(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with receiving(ssl_context=context) as receiver:
        async with hook(url=receiver.url) as sink:
            outcome = await sink.deliver(SAMPLE)
            assert isinstance(outcome, Retry)
            assert "certificate verify failed" in outcome.reason
        async with hook(url=receiver.url, ca=certificate) as sink:
            assert await sink.deliver(SAMPLE) == Delivered()


async def test_a_ca_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    sink = WebhookSink("hook", WebhookSettings(url="https://127.0.0.1", ca=tmp_path / "ca.pem"))
    with pytest.raises(SinkUnavailable, match=r"ca.pem has no certificates in PEM"):
        await sink.start()
    await sink.stop()


async def test_secrets_are_not_shown(
    receiver: Receiver, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    """Not where the receiver sends all back that it got, nor where the library's text has the URL."""
    url = receiver.url.replace("//", "//me:hunter2@") + "/T0K3N/in-path?key=qu3ry"

    async def echo(request: web.Request) -> web.StreamResponse:
        return web.Response(status=400, text=f"{request.url} {dict(request.headers)}"[:4000])

    receiver.plan = [echo, octets(b"garbage T0K3N/in-path\r\n\r\n")]
    async with hook(url=url, headers={"X-Api-Key": "4p1-k3y"}, secrets=(KEY,)) as sink:
        said = [
            await sink.deliver(SAMPLE),
            await sink.deliver(SAMPLE),
            sink,
            sink._settings,
            sink._settings.describe(),
        ]
    for secret in ("hunter2", "qu3ry", "4p1-k3y", KEY, KEY.removeprefix("whsec_")):
        assert secret not in f"{said} {caplog.text}"
    assert "T0K3N" not in str(said[2:])


class TestThroughTheLoop:
    """Whatever the receiver does: nothing is lost, and the sink beside it is unhurt."""

    async def test_a_receiver_with_every_fault(self, house: House, receiver: Receiver) -> None:
        async def slow(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(0.4)
            return web.Response()

        faults = [
            answer(500),
            answer(429, Retry_After="1"),
            octets(b""),
            octets(b"garbage\r\n\r\n"),
            answer(408),
            slow,
        ]
        receiver.plan = faults * 8
        async with receiving() as other:
            settings = WebhookSettings(url=receiver.url, secrets=(KEY,), timeout=Duration(0.2))
            await house.add(WebhookSink("hook", settings))
            await house.add(WebhookSink("other", WebhookSettings(url=other.url)))
            ids = await house.receive(*(mail(f"{number}") for number in range(60)))
            await house.settled("other")
            assert sorted(each.id for each in other.requests) == sorted(ids)
            await house.settled("hook")
        assert {each.id for each in receiver.requests} == set(ids)
        assert len(receiver.requests) == 60 + len(faults) * 8
        assert not await house.parked("hook")
        for each in receiver.requests:
            Webhook(KEY).verify(each.body, each.headers)

    async def test_order_is_kept_where_asked(self, house: House, receiver: Receiver) -> None:
        receiver.plan = [answer(500), answer(200), octets(b""), answer(503)]
        settings = SinkSettings(ordered=True)
        await house.add(WebhookSink("hook", WebhookSettings(url=receiver.url)), settings)
        ids = [(await house.receive(mail(f"{number}")))[0] for number in range(5)]
        await house.settled("hook")
        assert [each.id for each in receiver.requests] == [ids[0]] * 2 + [ids[1]] * 3 + ids[2:]

    async def test_what_is_rejected_is_parked_and_can_be_replayed(
        self, house: House, receiver: Receiver
    ) -> None:
        receiver.plan = [answer(422, "no such device")]
        delivery = await house.add(WebhookSink("hook", WebhookSettings(url=receiver.url)))
        [id_] = await house.receive(mail())
        await house.settled("hook")
        [parked] = await house.parked("hook")
        assert parked.reason == "answered 422 Unprocessable Entity: no such device"
        await delivery.consumer.replay([parked.sequence])
        await house.settled("hook")
        assert [each.id for each in receiver.requests] == [id_, id_]

    async def test_what_is_tried_for_too_long_is_parked(self, house: House) -> None:
        settings = SinkSettings(retry_for=Duration(0.1))
        url = f"http://127.0.0.1:{free_port()}/"
        await house.add(WebhookSink("hook", WebhookSettings(url=url)), settings)
        await house.receive(mail(), mail())
        await house.settled("hook")
        parked = await house.parked("hook")
        assert len(parked) == 2
        assert all("tries: Cannot connect to host 127.0.0.1" in each.reason for each in parked)

    async def test_410_pauses_until_a_resume(
        self, house: House, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        receiver.plan = [answer(410, "moved out")] * 3
        settings = SinkSettings(max_in_flight=3)
        delivery = await house.add(WebhookSink("hook", WebhookSettings(url=receiver.url)), settings)
        ids = await house.receive(*(mail(f"{number}") for number in range(10)))
        async with asyncio.timeout(10):
            while delivery.paused is None or delivery._in_flight:  # noqa: ASYNC110  no event to await
                await asyncio.sleep(0.001)
        assert delivery.paused == "answered 410 Gone: moved out"
        assert len(receiver.requests) == 3
        assert delivery.consumer.lag == 10
        assert caplog.text.count("sink hook is paused until it is resumed or the server restarts") == 1
        delivery.resume()
        await house.settled("hook")
        assert {each.id for each in receiver.requests[3:]} == set(ids)
        assert not await house.parked("hook")

    async def test_a_receiver_killed_in_the_middle_of_a_burst(self, house: House, tmp_path: Path) -> None:
        """kill -9, a second of nothing, and a new one: all arrives, nothing is parked."""
        port, file = free_port(), tmp_path / "ids"
        process = await started(port, file)
        await house.add(WebhookSink("hook", WebhookSettings(url=f"http://127.0.0.1:{port}/hook")))
        try:
            ids = await house.receive(*(mail(f"{number}") for number in range(300)))
            await lines(file, 30)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            process = await started(port, file)
            more = await house.receive(*(mail(f"{number}") for number in range(50)))
            await house.settled("hook")
        finally:
            process.kill()
            await process.wait()
        assert set(file.read_text().split()) == {*ids, *more}
        assert not await house.parked("hook")


async def started(port: int, file: Path) -> asyncio.subprocess.Process:
    """A receiver to kill, listening."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.sinks.receiver", str(port), str(file), cwd=ROOT
    )
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return process


async def lines(file: Path, count: int) -> None:
    deadline = time.monotonic() + 10
    while file.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)
