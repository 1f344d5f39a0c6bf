"""The mqtt sink against mosquitto, watched by paho."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.clock import SystemClock
from mailbell.errors import SinkUnavailable
from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.event.sample import sample
from mailbell.mail import Mail
from mailbell.settings import Duration, MqttSettings, Size
from mailbell.sinks import broker as broker_module
from mailbell.sinks import mqtt as mqtt_module
from mailbell.sinks.base import Delivered, Reject, Retry, Sink
from mailbell.sinks.broker import LOST, UNSENT
from mailbell.sinks.mqtt import MqttSink, _outcome, fit, level
from tests.conftest import BOTH_LOOPS
from tests.sinks.conftest import House, certified, event, mail
from tests.sinks.mosquitto import Line, Mosquitto, Seen, Watcher, brokering, trusting, watching
from tests.tools import free_port, need

SAMPLE = convert(sample(), ConvertOptions())
PICTURE = SAMPLE.attachment(0)
VERSIONS = pytest.mark.parametrize("version", ["3.1.1", "5"])

Up = Callable[..., Awaitable[MqttSink]]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with brokering(tmp_path) as broker:
        yield broker


@pytest.fixture
async def watcher(broker: Mosquitto) -> AsyncIterator[Watcher]:
    async with watching(broker.port) as watcher:
        yield watcher


@pytest.fixture
async def up(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Up]:
    """Call it with a URL and settings for a sink that is up."""
    monkeypatch.setattr(mqtt_module, "RECONNECT_DELAYS", (0.02,))
    async with AsyncExitStack() as stack:

        async def begin(url: str, **settings: object) -> MqttSink:
            sink = MqttSink("mqtt", MqttSettings(url=url, **settings))  # type: ignore[arg-type]
            await sink.start()
            stack.push_async_callback(sink.stop)
            return sink

        yield begin


def picture_mail(size: int, subject: str = "Motion") -> Mail:
    """A mail with a JPEG of about this size."""
    head = f"Subject: {subject}\r\nContent-Type: image/jpeg\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return mail(raw=head.encode() + PICTURE[:20] + b"\xaa" * size)


@BOTH_LOOPS
@VERSIONS
async def test_a_cameras_mail(broker: Mosquitto, watcher: Watcher, up: Up, version: str) -> None:
    sink: Sink = await up(broker.url, version=version)
    assert not sink.sequential
    assert await sink.deliver(SAMPLE) == Delivered()
    seen = await watcher.topics("mailbell/alarms/.*", 4)
    properties = [("id", SAMPLE.event.id)] if version == "5" else []
    assert seen == [
        Seen("mailbell/alarms/image", PICTURE, True, 1, properties),
        Seen("mailbell/alarms/last", SAMPLE.json, True, 1, properties),
        Seen("mailbell/alarms/motion", b"ON", False, 1, properties),
        Seen("mailbell/alarms/event", SAMPLE.json, False, 1, properties),
    ]
    assert watcher.seen[0] == Seen("mailbell/status", b"online", True, 1, [])


async def test_who_comes_later_sees_what_is_retained_and_nothing_else(broker: Mosquitto, up: Up) -> None:
    sink = await up(broker.url)
    await sink.deliver(SAMPLE)
    async with watching(broker.port) as late:
        kept = await late.topics("mailbell/.*", 3)
        assert {each.topic for each in kept} == {
            "mailbell/status",
            "mailbell/alarms/image",
            "mailbell/alarms/last",
        }
        await sink.stop()
        await late.until(lambda seen: seen[-1] == Seen("mailbell/status", b"offline", True, 1, []))


async def test_nothing_is_retained_where_that_is_not_wanted(
    broker: Mosquitto, watcher: Watcher, up: Up
) -> None:
    sink = await up(broker.url, retain=False)
    await sink.deliver(SAMPLE)
    assert not any(each.retained for each in await watcher.topics("mailbell/alarms/.*", 4))


@BOTH_LOOPS
@VERSIONS
async def test_the_will_is_published_when_the_line_is_cut(
    broker: Mosquitto, watcher: Watcher, up: Up, version: str
) -> None:
    async with Line(broker.port).open() as line:
        await up(f"mqtt://127.0.0.1:{line.port}", version=version)
        await watcher.topics("mailbell/status", 1)
        line.cut()
        states = await watcher.topics("mailbell/status", 3)
        assert [each.payload for each in states[:3]] == [b"online", b"offline", b"online"]


@pytest.mark.filterwarnings(
    "ignore:.*SSLSocket"
)  # paho leaves the socket of a failed handshake to the collector
@BOTH_LOOPS
async def test_tls_with_a_password(tmp_path: Path, up: Up) -> None:
    certificate, key = certified(tmp_path)
    (tmp_path / "passwords").write_text("mailbell:secret\n")
    await run(need("mosquitto_passwd"), "-U", str(tmp_path / "passwords"))
    config = f"certfile {certificate}\nkeyfile {key}\npassword_file {tmp_path}/passwords"
    async with brokering(tmp_path, config, access="allow_anonymous false") as broker:
        url = f"mqtts://localhost:{broker.port}"
        login = {"user": "mailbell", "password": "secret", "ca": certificate}
        sink = await up(url, **login)
        async with watching(broker.port, tls=trusting(certificate), user=("mailbell", "secret")) as watcher:
            assert await sink.deliver(SAMPLE) == Delivered()
            await watcher.topics("mailbell/alarms/event", 1)
        for wrong, complaint in (
            ({"password": "guess"}, "refuses us: not authorized; correct user and password"),
            ({"version": "3.1.1", "user": "", "password": ""}, "refuses us: not authorized; correct user"),
            ({"ca": None}, "certificate is not trusted: self-signed certificate; set ca"),
        ):
            with pytest.raises(SinkUnavailable, match=complaint):
                await up(url, **(login | wrong))
        with pytest.raises(SinkUnavailable, match="with or without TLS"):
            await up(f"mqtt://127.0.0.1:{broker.port}")


async def run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0


@BOTH_LOOPS
async def test_a_client_certificate(tmp_path: Path, up: Up) -> None:
    certificate, key = certified(tmp_path)
    config = (
        f"certfile {certificate}\nkeyfile {key}\ncafile {certificate}\n"
        "require_certificate true\nuse_identity_as_username true"
    )
    async with brokering(tmp_path, config, access="allow_anonymous false") as broker:
        url = f"mqtts://localhost:{broker.port}"
        sink = await up(url, ca=certificate, certificate=certificate, key=key)
        assert await sink.deliver(SAMPLE) == Delivered()
        with pytest.raises(SinkUnavailable, match="localhost"):
            await up(url, ca=certificate)


@BOTH_LOOPS
@pytest.mark.parametrize(
    ("says", "complaint"),
    [
        (b"", "the broker has closed it; is it an MQTT broker"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the broker has closed it; is it an MQTT broker"),
        (b"\x20\x02\x00\x01", 'unsupported protocol version; set version = "3.1.1"'),
        (b"\x20\x03\x00\x85\x00", "client id not valid; set client_id to one that it takes"),
        (b"\x20\x05\x00\x00\x02\x24\x00", "refuses us: qos not supported"),
        (b"\x20", "no answer in 0.2 s; is it an MQTT broker"),
    ],
)
async def test_a_broker_that_is_none(
    up: Up, monkeypatch: pytest.MonkeyPatch, says: bytes, complaint: str
) -> None:
    monkeypatch.setattr(broker_module, "CONNECT_TIMEOUT", 0.2)
    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(says)
        if says == b"\x20":  # leaves us waiting
            await reader.read()
        writer.close()
        served.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        with pytest.raises(SinkUnavailable, match=complaint):
            await up(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await served.wait()
    finally:
        server.close()


@BOTH_LOOPS
@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        (f"mqtt://127.0.0.1:{free_port()}", "connection refused; is the broker running"),
        ("mqtt://nowhere.invalid", r"mqtt://nowhere\.invalid: no such host"),
    ],
    ids=["nobody listens", "no such host"],
)
async def test_nobody_there(up: Up, url: str, complaint: str) -> None:
    with pytest.raises(SinkUnavailable, match=complaint):
        await up(url)


async def test_a_broker_that_is_able_to_do_little(up: Up, caplog: pytest.LogCaptureFixture) -> None:
    """It keeps nothing, lets us subscribe to nothing, takes one message at a time, and acknowledges none."""
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(bytes.fromhex("2008 0000 05 2500 210001"))
        while data := await reader.read(2**16):
            heard.extend(data)
            if (at := data.find(b"\x82")) >= 0:
                writer.write(b"\x90\x05" + data[at + 2 : at + 4] + b"\0\x87\x87")
            if b"\xc0\0" in data:
                writer.write(b"\xd0\0")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await up(f"mqtt://127.0.0.1:{port}", homeassistant=True, timeout=Duration(0.3))
        await told(caplog, "the broker refuses a subscription: not authorized")
        await told(caplog, "connection lost: the broker acknowledges nothing")
    assert heard.count(b"online") == 1
    assert b"\x32" in heard
    assert b"\x33" not in heard, "nothing is retained"


async def test_one_event_after_the_other_is_not_slow(broker: Mosquitto, up: Up) -> None:
    """Where nobody acknowledges TCP's way at once, mosquitto's answers take 40 ms each."""
    sink = await up(broker.url)
    loop = asyncio.get_running_loop()
    took = []
    for _ in range(25):
        began = loop.time()
        await sink.deliver(SAMPLE)
        took.append(loop.time() - began)
    assert median(took) < 0.03


async def test_stopping_without_start_and_twice(broker: Mosquitto, up: Up) -> None:
    await MqttSink("mqtt", MqttSettings()).stop()
    sink = await up(broker.url)
    await sink.stop()
    await sink.stop()
    assert "lost: " in repr(sink)


# ------------------------------------------------------------------ trouble, through the real delivery loop


@pytest.fixture
async def joined(house: House, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(mqtt_module, "RECONNECT_DELAYS", (0.02,))
    return house


async def join(house: House, url: str, **settings: object) -> None:
    made = MqttSettings(url=url, device="{subject}", **settings)  # type: ignore[arg-type]
    await house.add(MqttSink("mqtt", made), made)


def numbered(count: int, first: int = 0) -> list[Mail]:
    return [mail(str(number)) for number in range(first, first + count)]


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


async def test_in_order_and_no_more_at_once_than_the_broker_takes(
    joined: House, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    """Mosquitto takes 20 in MQTT 5, and cuts off who sends more."""
    await join(joined, broker.url, max_in_flight=64)
    await joined.receive(*numbered(300))
    await joined.settled("mqtt")
    assert await broker.received(300) == numbers(300)
    assert "lost" not in caplog.text


@BOTH_LOOPS
async def test_a_broker_that_is_down_at_the_start(house: House, tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    await join(house, broker.url)
    await house.receive(*numbered(50))
    await broker.start()
    await house.settled("mqtt")
    await broker.kill()
    assert await broker.received(50) == numbers(50)


@BOTH_LOOPS
@VERSIONS
async def test_a_broker_that_is_down_for_a_while(
    joined: House, broker: Mosquitto, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    """Events wait, untried, and come in order. The same trouble is told once."""
    await join(joined, broker.url, version=version)
    await joined.receive(*numbered(1))
    await joined.settled("mqtt")
    await broker.kill()
    await joined.receive(*numbered(200, 1))
    await told(caplog, "not connected: .* connection refused")
    await asyncio.sleep(0.1)  # several tries
    await broker.start()
    await joined.settled("mqtt")
    assert await broker.received(201) == numbers(201)
    assert "tried again" not in caplog.text
    assert caplog.text.count("not connected: ") == 1


async def told(caplog: pytest.LogCaptureFixture, pattern: str) -> None:
    """Wait until the log says so."""
    async with asyncio.timeout(10):
        while not re.search(pattern, caplog.text):  # noqa: ASYNC110  a text, not an event
            await asyncio.sleep(0.005)


@VERSIONS
async def test_a_broker_killed_in_a_burst_again_and_again(
    joined: House, broker: Mosquitto, version: str
) -> None:
    other = Recorder()
    await joined.add(other)
    await join(joined, broker.url, version=version)
    receiving = asyncio.create_task(joined.receive(*numbered(600)))
    for moment in (20, 150, 400):
        await broker.line("Received PUBLISH .*/event", moment)
        await broker.kill()
        await broker.start()
    await receiving
    await joined.settled("mqtt")
    received = await broker.received(600)
    assert set(received) == set(numbers(600))
    assert len(received) <= 600 + 3 * 32, "only what was in flight comes twice"
    assert not await joined.parked("mqtt")
    await joined.settled("recorder")
    assert sorted(other.seen) == sorted(numbers(600)), "once each: another sink's trouble is not its own"


class Recorder:
    """Another sink, which is well."""

    name = "recorder"
    sequential = False

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def start(self) -> None: ...

    async def deliver(self, item: Converted) -> Delivered:
        self.seen.append(item.event.subject or "")
        return Delivered()

    async def stop(self) -> None: ...


async def test_a_line_cut_in_a_burst(joined: House, broker: Mosquitto, watcher: Watcher) -> None:
    """Whole images arrive, whatever the point at which the line breaks."""
    async with Line(broker.port).open() as line:
        await join(joined, f"mqtt://127.0.0.1:{line.port}")
        mails = [picture_mail(20_000 + 7 * number, str(number)) for number in range(200)]
        receiving = asyncio.create_task(joined.receive(*mails))
        for received in (1, 30, 70, 71, 140):
            await broker.line("Received PUBLISH .*/event", received)
            line.cut()
        await receiving
        await joined.settled("mqtt")
        await watcher.until(lambda seen: {each.topic for each in seen} >= topics(200))
    images = {each.topic: len(each.payload) for each in watcher.seen if each.topic.endswith("/image")}
    assert images == {f"mailbell/{number}/image": 20_020 + 7 * number for number in range(200)}
    assert line.connections > 3


def topics(count: int) -> set[str]:
    return {
        f"mailbell/{each}/{kind}" for each in numbers(count) for kind in ("image", "last", "motion", "event")
    }


@BOTH_LOOPS
async def test_a_broker_that_hangs(
    joined: House, broker: Mosquitto, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "CONNECT_TIMEOUT", 0.1)
    await join(joined, broker.url, timeout=Duration(0.2))
    await joined.receive(*numbered(1))
    await joined.settled("mqtt")
    broker.signal(signal.SIGSTOP)
    await joined.receive(*numbered(20, 1))
    await told(caplog, "connection lost: the broker acknowledges nothing; events wait")
    await told(caplog, "not connected: .* no answer in 0.1 s")
    broker.signal(signal.SIGCONT)
    await joined.settled("mqtt")
    assert set(await broker.received(21)) == set(numbers(21))


async def test_a_broker_that_hangs_with_nothing_to_do(
    broker: Mosquitto, up: Up, caplog: pytest.LogCaptureFixture
) -> None:
    await up(broker.url, timeout=Duration(0.1))
    await asyncio.sleep(0.3)
    assert "lost" not in caplog.text, "pings keep it up"
    broker.signal(signal.SIGSTOP)
    await told(caplog, "connection lost: the broker answers nothing")
    broker.signal(signal.SIGCONT)


async def test_a_slow_line_is_given_its_time(
    joined: House, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    """Much longer than the timeout, but moving."""
    async with Line(broker.port, octets_a_second=5_000_000).open() as line:
        await join(joined, f"mqtt://127.0.0.1:{line.port}", timeout=Duration(0.4))
        began = asyncio.get_running_loop().time()
        await joined.receive(*(picture_mail(1_000_000, str(number)) for number in range(5)))
        await joined.settled("mqtt")
    assert asyncio.get_running_loop().time() - began > 1
    assert set(await broker.received(5)) == set(numbers(5))
    assert "lost" not in caplog.text


@VERSIONS
async def test_a_broker_that_no_longer_knows_us(
    house: House,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    version: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mqtt_module, "RECONNECT_DELAYS", (0.02,))
    passwords, command = tmp_path / "passwords", need("mosquitto_passwd")
    await run(command, "-c", "-b", str(passwords), "mailbell", "secret")
    async with brokering(tmp_path, f"password_file {passwords}", access="allow_anonymous false") as broker:
        await join(house, broker.url, user="mailbell", password="secret", version=version)
        await house.receive(*numbered(1))
        await house.settled("mqtt")
        await run(command, "-b", str(passwords), "mailbell", "another")
        await broker.kill()
        await broker.start()
        await house.receive(*numbered(20, 1))
        await told(caplog, "not connected: .* not authorized; correct user and password")
        await run(command, "-b", str(passwords), "mailbell", "secret")
        broker.signal(signal.SIGHUP)
        await house.settled("mqtt")
        assert await broker.received(21) == numbers(21)
    assert not await house.parked("mqtt")


async def test_topics_that_we_may_not_publish_to(
    house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The events are tried again until the broker's rules are corrected."""
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite mailbell/status\n")
    rules.chmod(0o600)
    async with brokering(tmp_path, f"acl_file {rules}") as broker:
        await join(house, broker.url)
        await house.receive(*numbered(3))
        await told(caplog, "the broker has closed it with .* unacknowledged; its log may say why: a right")
        rules.write_text("topic readwrite mailbell/#\n")
        broker.signal(signal.SIGHUP)
        await house.settled("mqtt")
    assert not await house.parked("mqtt")


# --------------------------------------------------------------------------------- what is published


async def test_an_image_too_large_is_left_out(
    broker: Mosquitto, watcher: Watcher, up: Up, caplog: pytest.LogCaptureFixture
) -> None:
    sink = await up(broker.url, max_packet=Size(100_000))
    item = convert(picture_mail(200_000), ConvertOptions())
    assert await sink.deliver(item) == Delivered()
    assert [each.topic.rpartition("/")[2] for each in await watcher.topics("mailbell/garden/.*", 3)] == [
        "last",
        "motion",
        "event",
    ]
    assert f"{item.event.id}: the image of 200020 octets is left out, a packet may have 97952" in caplog.text


async def test_the_broker_says_how_large_a_packet_may_be(tmp_path: Path, up: Up) -> None:
    async with brokering(tmp_path, "max_packet_size 100000") as broker, watching(broker.port) as watcher:
        sink = await up(broker.url)
        assert await sink.deliver(convert(picture_mail(200_000), ConvertOptions())) == Delivered()
        await sink.deliver(convert(picture_mail(97_000), ConvertOptions()))
        [image] = await watcher.topics(".*/image", 1)
        assert len(image.payload) == 97_020


async def test_an_event_too_large_is_shortened(broker: Mosquitto, watcher: Watcher, up: Up) -> None:
    sink = await up(broker.url)
    raw = b"Subject: a novel\r\nContent-Type: text/html\r\n\r\n<p>" + b"word " * 600_000
    item = convert(mail(raw=raw), ConvertOptions())
    assert len(item.json) > 2_000_000
    assert await sink.deliver(item) == Delivered()
    [seen] = await watcher.topics(".*/event", 1)
    got = json.loads(seen.payload)
    assert got["html"] is None
    assert got["text"] == item.event.text[: 64 * 1024]
    assert got["defects"][-1] == "shortened for MQTT: without html, text cut"
    assert got["id"] == item.event.id


async def test_an_event_too_large_even_so_is_rejected(broker: Mosquitto, up: Up) -> None:
    sink = await up(broker.url, max_packet=Size(3000))
    outcome = await sink.deliver(event(text="x" * 3000))
    assert outcome == Reject("the event, even shortened, is larger than 952 octets (max_packet)")


async def test_attachments_go_inside_on_request(broker: Mosquitto, watcher: Watcher, up: Up) -> None:
    sink = await up(broker.url, attachments="inline")
    await sink.deliver(SAMPLE)
    [seen] = await watcher.topics(".*/event", 1)
    assert json.loads(seen.payload)["attachments"][0]["content"].startswith("/9j/")


async def test_what_comes_late_is_no_longer_the_last(broker: Mosquitto, watcher: Watcher, up: Up) -> None:
    sink = await up(broker.url)
    for at in (2000, 1000):
        await sink.deliver(convert(msgspec.structs.replace(sample(), received_at=at), ConvertOptions()))
    kinds = [each.topic.rpartition("/")[2] for each in await watcher.topics("mailbell/alarms/.*", 6)]
    assert kinds == ["image", "last", "motion", "event", "motion", "event"]


async def test_after_the_clock_was_set_back_the_newest_is_the_last(
    broker: Mosquitto, watcher: Watcher, up: Up
) -> None:
    sink = await up(broker.url)
    ahead = round(SystemClock().time() * 1000) + 3_600_000
    for at in (ahead, ahead - 7_200_000):
        await sink.deliver(convert(msgspec.structs.replace(sample(), received_at=at), ConvertOptions()))
    assert len(await watcher.topics("mailbell/alarms/last", 2)) == 2


async def test_forgetting_leaves_nothing_behind(broker: Mosquitto, up: Up) -> None:
    sink = await up(broker.url)
    await sink.deliver(SAMPLE)
    sink.forget()
    await sink.stop()
    async with watching(broker.port) as late:
        late.publish("end", "")
        assert [each.topic for each in await late.topics(".*", 1)] == ["end"]


async def test_a_cut_line_is_a_retry(broker: Mosquitto, up: Up) -> None:
    async with Line(broker.port).open() as line:
        sink = await up(f"mqtt://127.0.0.1:{line.port}")
        broker.signal(signal.SIGSTOP)
        delivery = asyncio.create_task(sink.deliver(SAMPLE))
        await asyncio.sleep(0.01)
        line.cut()
        assert await delivery == Retry("the connection was lost before the broker acknowledged it")
        broker.signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("codes", "outcome"),
    [
        ({0}, Delivered()),
        ({0, 16}, Delivered()),
        ({0, 135, LOST}, Retry("the broker refuses it: not authorized")),
        ({151}, Retry("the broker refuses it: quota exceeded")),
        ({0, 144}, Reject("the broker refuses it: topic name invalid")),
        ({0, LOST}, Retry("the connection was lost before the broker acknowledged it")),
        ({0, UNSENT}, Retry("the connection was lost before the broker acknowledged it")),
        ({UNSENT}, None),
    ],
)
def test_what_the_brokers_answers_come_to(codes: set[int], outcome: object) -> None:
    assert _outcome(codes) == outcome


@given(st.text())
def test_any_text_makes_one_level(text: str) -> None:
    made = level(text)
    assert 0 < len(made) <= 128
    assert not set(made) & set("+#/")
    assert all(ord(each) >= 32 and ord(each) & 0xFFFE != 0xFFFE for each in made)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("front gate", "front gate"),
        ("a/b+c#", "abc"),
        ("\0\x1f\x85\ufdd0\uffff/", "unknown"),
        ("", "unknown"),
        ("Tür", "Tür"),
        ("x" * 500, "x" * 128),
    ],
)
def test_levels(text: str, made: str) -> None:
    assert level(text) == made


async def test_odd_devices_make_topics_that_brokers_take(broker: Mosquitto, watcher: Watcher, up: Up) -> None:
    sink = await up(broker.url, prefix="house/mail", device="{subject}")
    for subject in ("+/#", "\u00fcber \U0001f600", "$SYS"):
        assert await sink.deliver(event(subject)) == Delivered()
    seen = await watcher.topics("house/mail/.*/event", 3)
    assert [each.topic.split("/")[2] for each in seen] == ["unknown", "\u00fcber \U0001f600", "$SYS"]


def test_fitting_leaves_what_fits_alone() -> None:
    assert fit(SAMPLE, MqttSettings(), 10_000) == SAMPLE.json
