"""Home Assistant's discovery: payloads by a strict schema, and live over mosquitto."""

import asyncio
import json
import re
import signal
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest
import voluptuous as vol
from hypothesis import given
from hypothesis import strategies as st

from mailbell.config import load
from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.event.sample import sample
from mailbell.mail import Envelope
from mailbell.settings import Duration, MqttSettings
from mailbell.sinks import mqtt as mqtt_module
from mailbell.sinks.base import Delivered
from mailbell.sinks.homeassistant import ATTRIBUTES_TEMPLATE, EVENT_TEMPLATE, LAST_TEMPLATE, Discovery
from mailbell.sinks.mqtt import MqttSink, level
from tests.service import start
from tests.sinks.conftest import event, mail
from tests.sinks.homeassistant import CONFIG_TOPIC, MOST_RECORDED, PAYLOAD, HomeAssistant, render, running
from tests.sinks.mosquitto import Mosquitto, brokering, watching
from tests.tools import ROOT, free_port

SAMPLE = convert(sample(), ConvertOptions())
SETTINGS = MqttSettings(homeassistant=True)


def payload(device: str, **settings: Any) -> Any:
    return json.loads(Discovery(MqttSettings(homeassistant=True, **settings)).payload(device))


# ------------------------------------------------------------------------------------------------- payloads


@given(st.text(), st.sampled_from(["mailbell", "house/mail", "Ä"]))
def test_every_payload_passes(text: str, prefix: str) -> None:
    discovery, device = Discovery(MqttSettings(prefix=prefix)), level(text)
    assert re.fullmatch(CONFIG_TOPIC, discovery.topic(device))
    PAYLOAD(json.loads(discovery.payload(device)))
    assert discovery.device(discovery.payload(device)) == device


@given(st.sets(st.text().map(level), min_size=2))
def test_every_device_is_itself(devices: set[str]) -> None:
    discovery = Discovery(SETTINGS)
    assert len({discovery.topic(each) for each in devices}) == len(devices)
    payloads = [json.loads(discovery.payload(each)) for each in devices]
    unique = {each["unique_id"] for made in payloads for each in made["components"].values()}
    assert len(unique) == 4 * len(devices)
    assert len({made["device"]["identifiers"][0] for made in payloads}) == len(devices)


def test_a_payload() -> None:
    made = payload("front-gate", off_delay=Duration(10.2))
    assert made["device"]["identifiers"] == ["mailbell_front-gate"]
    assert made["device"]["name"] == "front-gate"
    assert made["availability_topic"] == "mailbell/status"
    assert {name: each["default_entity_id"] for name, each in made["components"].items()} == {
        "event": "event.front_gate",
        "image": "image.front_gate",
        "last": "sensor.front_gate_last_mail",
        "motion": "binary_sensor.front_gate_motion",
    }
    assert made["components"]["motion"]["off_delay"] == 11
    assert made["components"]["motion"]["state_topic"] == "mailbell/front-gate/motion"
    assert Discovery(SETTINGS).topic("front-gate") == "homeassistant/device/mailbell_front-gate/config"


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        ((), "icon", "mdi:bell"),
        (("device",), "identifiers", []),
        (("origin",), "url", "x"),
        (("components", "event"), "object_id", "front_gate"),
        (("components", "event"), "device_class", "alarm"),
        (("components", "event"), "default_entity_id", "event.front__gate"),
        (("components", "image"), "image_topic", "mailbell/+/image"),
        (("components", "last"), "state_topic", None),
        (("components", "motion"), "off_delay", 0),
        (("components", "motion"), "off_delay", 1.5),
        (("components", "motion"), "unique_id", None),
    ],
)
def test_the_schema_tells_what_is_wrong(where: tuple[str, ...], key: str, value: object) -> None:
    made = inside = payload("front-gate")
    for name in where:
        inside = inside[name]
    if value is None:
        del inside[key]
    else:
        inside[key] = value
    with pytest.raises(vol.Invalid):
        PAYLOAD(made)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff",
        b'{"device": {"name": "x"}, "origin": {"name": "mailbell"}}',
        b'{"device": {"name": "\xff"}}',
        b'{"x":' + b"[" * 5000,
    ],
    ids=range(7),
)
def test_payloads_of_others_are_left_alone(octets: bytes) -> None:
    assert Discovery(SETTINGS).device(octets) is None
    others = Discovery(MqttSettings(prefix="other")).payload("x")
    assert Discovery(SETTINGS).device(others) is None
    assert (
        Discovery(SETTINGS).device(Discovery(SETTINGS).payload("x").replace(b'"mailbell",', b'"else",'))
        is None
    )


# ------------------------------------------------------------------------------------------------ templates


def monster() -> Converted:
    """An event with as much of everything, and of the most octets a character, as conversion lets through."""
    faces = "\U0001f600" * 300
    parts = [f'Content-Disposition: attachment; filename="{each}{faces}.jpg"\r\n\r\nx' for each in range(50)]
    header = f"Subject: {faces * 10}<&'\"}}}}\r\nFrom: {'x' * 5000}@lan\r\n"
    header += "Content-Type: multipart/mixed; boundary=x\r\n"
    raw = "\r\n--x\r\n".join([header, *parts]) + "\r\n--x--"
    envelope = Envelope("x" * 4000, tuple(f"{each}{'ü' * 2000}@lan" for each in range(100)))
    return convert(msgspec.structs.replace(mail(raw=raw.encode()), envelope=envelope), ConvertOptions())


@pytest.mark.parametrize(
    "item",
    [SAMPLE, event(""), event(raw=b""), monster(), event(mail_from="", rcpt_to=[])],
    ids=["camera", "plain", "empty", "monster", "null"],
)
def test_templates(item: Converted) -> None:
    body = item.json.decode()
    happened = json.loads(render(EVENT_TEMPLATE, body))
    attributes = json.loads(render(ATTRIBUTES_TEMPLATE, body))
    assert happened.pop("event_type") == "mail"
    assert happened == attributes
    assert attributes["id"] == item.event.id
    assert len(json.dumps(attributes, ensure_ascii=False).encode()) < MOST_RECORDED
    assert datetime.fromisoformat(render(LAST_TEMPLATE, body)).tzinfo == UTC


def test_the_attributes_of_a_cameras_mail() -> None:
    assert json.loads(render(ATTRIBUTES_TEMPLATE, SAMPLE.json.decode())) == {
        "id": SAMPLE.event.id,
        "subject": "Motion detected",
        "from": "camera1@cameras.example",
        "to": ["alarms@example.com"],
        "received_at": "2016-01-25T17:24:49.582Z",
        "source": "192.0.2.1",
        "attachments": ["snapshot.jpg"],
    }


# ----------------------------------------------------------------------------------------------------- live


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_module, "LISTENING_AFTER", 0.3)
    monkeypatch.setattr(mqtt_module, "RECONNECT_DELAYS", (0.02,))


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with brokering(tmp_path) as broker:
        yield broker


@pytest.fixture
async def sink(broker: Mosquitto) -> AsyncIterator[MqttSink]:
    async with up(broker) as sink:
        yield sink


@asynccontextmanager
async def up(broker: Mosquitto, **settings: Any) -> AsyncIterator[MqttSink]:
    sink = MqttSink("mqtt", MqttSettings(url=broker.url, homeassistant=True, **settings))
    await sink.start()
    try:
        yield sink
    finally:
        await sink.stop()


async def test_the_first_mail_of_a_camera_shows(broker: Mosquitto, sink: MqttSink) -> None:
    async with running(broker.port) as house:
        assert await sink.deliver(SAMPLE) == Delivered()
        entities = house.entities
        await house.until(lambda: "event.alarms" in entities and entities["event.alarms"].history)
        assert entities["event.alarms"].state == "mail"
        assert entities["event.alarms"].attributes["subject"] == "Motion detected"
        assert entities["image.alarms"].state == SAMPLE.attachment(0)
        assert entities["sensor.alarms_last_mail"].state == datetime(2016, 1, 25, 17, 24, 49, 582000, UTC)
        assert entities["sensor.alarms_last_mail"].attributes["attachments"] == ["snapshot.jpg"]
        assert entities["binary_sensor.alarms_motion"].state is True
        await house.until(lambda: house.available == {"mailbell/status": "online"})
        await sink.stop()
        await house.until(lambda: house.available == {"mailbell/status": "offline"})


async def test_only_the_first_mail_of_a_device_waits(broker: Mosquitto, sink: MqttSink) -> None:
    loop = asyncio.get_running_loop()
    took = []
    for _ in range(2):
        began = loop.time()
        await sink.deliver(SAMPLE)
        took.append(loop.time() - began)
    assert took[0] >= 0.3 > took[1]


async def test_home_assistant_restarts(broker: Mosquitto, sink: MqttSink) -> None:
    """It finds the devices, what was last, no event and no motion; and we say it all again."""
    await sink.deliver(SAMPLE)
    async with running(broker.port) as house:
        await house.until(lambda: len(house.payloads) == 2)
        assert house.payloads[0] == house.payloads[1], "once kept by the broker, once for its birth"
        entities = house.entities
        await house.until(
            lambda: entities["sensor.alarms_last_mail"].state and entities["image.alarms"].state
        )
        assert entities["event.alarms"].state is None
        assert entities["binary_sensor.alarms_motion"].state is None


async def test_we_restart(broker: Mosquitto, sink: MqttSink) -> None:
    """Devices are known from what the broker keeps: announced again, and their mail does not wait."""
    await sink.deliver(SAMPLE)
    await sink.stop()
    async with up(broker) as again, running(broker.port) as house:
        await house.until(lambda: len(house.payloads) >= 2)
        began = asyncio.get_running_loop().time()
        await again.deliver(SAMPLE)
        assert asyncio.get_running_loop().time() - began < 0.3


async def test_the_broker_forgets_all(broker: Mosquitto, sink: MqttSink) -> None:
    await sink.deliver(SAMPLE)
    await broker.kill()
    await broker.start()
    async with running(broker.port) as house:
        await house.until(lambda: house.entities)


async def test_other_settings_are_announced(broker: Mosquitto, sink: MqttSink) -> None:
    await sink.deliver(SAMPLE)
    await sink.stop()
    async with running(broker.port) as house, up(broker, off_delay=Duration(99)):
        await house.until(lambda: house.payloads and off_delay(house) == 99)


def off_delay(house: HomeAssistant) -> object:
    return house.payloads[-1]["components"]["motion"]["off_delay"]


async def test_a_device_deleted_in_home_assistant_comes_back_with_its_next_mail(
    broker: Mosquitto, sink: MqttSink
) -> None:
    await sink.deliver(SAMPLE)
    async with running(broker.port) as house:
        await house.until(lambda: len(house.payloads) == 2)
        house.delete("homeassistant/device/mailbell_alarms/config")
        await house.until(lambda: not house.entities)
        house.born()
        await sink.deliver(event(rcpt_to=["door@lan"]))
        await house.until(lambda: "event.door" in house.entities)
        assert "event.alarms" not in house.entities
        await sink.deliver(SAMPLE)
        await house.until(lambda: "event.alarms" in house.entities)


async def test_forgetting_removes_the_devices(broker: Mosquitto, sink: MqttSink) -> None:
    async with running(broker.port) as house:
        for device in ("front gate", "Tür/1", "tur_1"):
            await sink.deliver(event(rcpt_to=[f"{device}@lan"]))
        await house.until(lambda: len(house.entities) == 12)
        sink.forget()
        await sink.stop()
        await house.until(lambda: not house.entities)
    async with watching(broker.port) as late:
        late.publish("end", "")
        assert [each.topic for each in await late.topics(".*", 1)] == ["end"]


async def test_too_many_devices(
    broker: Mosquitto, sink: MqttSink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mqtt_module, "MAX_DEVICES", 2)
    async with running(broker.port) as house:
        for device in ("a", "b", "c"):
            assert await sink.deliver(event(rcpt_to=[f"{device}@lan"])) == Delivered()
        await house.until(lambda: len(house.entities) == 8)
        assert "event.c" not in house.entities
    assert "2 devices; no more are announced to Home Assistant" in caplog.text


async def test_several_devices_at_once_wait_together(broker: Mosquitto, sink: MqttSink) -> None:
    began = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        for device in range(20):
            group.create_task(sink.deliver(event(rcpt_to=[f"{device}@lan"])))
    assert asyncio.get_running_loop().time() - began < 1


# -------------------------------------------------------------------------------- the page, and the example


def blocks(page: str) -> list[str]:
    return re.findall(r"```toml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


PAGES = {
    "docs/home-assistant.md": blocks("docs/home-assistant.md")[0],
    "examples/home-assistant.toml": (ROOT / "examples/home-assistant.toml").read_text(),
}


@pytest.mark.parametrize("page", PAGES)
async def test_five_minutes(tmp_path: Path, broker: Mosquitto, page: str) -> None:
    """As the page says: the config, a camera's mail, the device; and the sink taken out again."""
    port, config = free_port(), tmp_path / "mailbell.toml"
    listen = f'port = {port}\nlisten = ["127.0.0.1"]'
    text = f'data = "data"\n{PAGES[page]}'.replace('data = "../mailbell-data"\n', "")
    config.write_text(
        text.replace("homeassistant.local", f"127.0.0.1:{broker.port}").replace("port = 2525", listen)
    )
    async with running(broker.port) as house:
        service = await start(config, port, MQTT_PASSWORD="secret")
        try:
            await service.line("I/O server cameras: SMTP on")
            await asyncio.to_thread(camera, port)
            await house.until(
                lambda: "event.front_gate" in house.entities and seen(house, "event.front_gate")
            )
            assert seen(house, "image.front_gate") == SAMPLE.attachment(0)
            assert seen(house, "binary_sensor.front_gate_motion") is True
            assert seen(house, "sensor.front_gate_last_mail").date() == datetime.now(UTC).date()
            config.write_text(f'data = "data"\n[ioservers.cameras]\n{listen}\n')
            service.process.send_signal(signal.SIGHUP)
            await house.until(lambda: not house.entities)
            assert not [line for line in service.lines if "ERROR" in line or " + " in line]
        finally:
            await service.stop()


def seen(house: HomeAssistant, entity: str) -> Any:
    return house.entities[entity].state


def camera(port: int) -> None:
    message = EmailMessage()
    message["From"], message["Subject"] = "front-gate@cameras.lan", "Motion detected"
    message.set_content("Motion")
    message.add_attachment(SAMPLE.attachment(0), maintype="image", subtype="jpeg", filename="a.jpg")
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.send_message(message, to_addrs=["front-gate@alarms.lan"])


@pytest.mark.parametrize("text", [*blocks("docs/sinks/mqtt.md"), *blocks("docs/home-assistant.md")])
def test_every_config_of_the_pages_is_one(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "secret")
    for name in ("ca.pem", "mailbell.pem", "mailbell.key"):
        (tmp_path / name).touch()
    config = tmp_path / "mailbell.toml"
    config.write_text(text)
    [settings] = load(config).sinks.values()
    assert isinstance(settings, MqttSettings)
