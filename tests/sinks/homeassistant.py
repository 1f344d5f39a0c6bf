"""As much of Home Assistant as decides whether a device shows, by the rules of its source (2026.11).

`PAYLOAD` is stricter than the real thing in one respect: it drops an unknown key of a component in silence,
here that is an error.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import voluptuous as vol
from jinja2.sandbox import ImmutableSandboxedEnvironment
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

PATIENCE = 60.0

TEXT = vol.All(str, vol.Length(min=1))
TOPIC = vol.All(TEXT, vol.Match(r"^[^+#\x00-\x1f\x7f-\x9f]+$"))
TEMPLATE = vol.All(TEXT, vol.Match(r"^\{\{.*\}\}$"))


def entity_id(domain: str) -> Any:
    """Lower case, digits and single underscores inside."""
    return vol.Match(rf"^{domain}\.[a-z0-9]+(_[a-z0-9]+)*$")


def component(platform: str, more: dict[Any, Any]) -> vol.Schema:
    """What every entity has, and this kind besides. `object_id` is gone since 2026.4."""
    return vol.Schema(
        {
            vol.Required("platform"): platform,
            vol.Required("unique_id"): TEXT,
            vol.Required("name"): TEXT,
            vol.Optional("default_entity_id"): entity_id(platform),
            vol.Optional("json_attributes_topic"): TOPIC,
            vol.Optional("json_attributes_template"): TEMPLATE,
            **more,
        }
    )


EVENT = {
    vol.Required("state_topic"): TOPIC,
    vol.Required("event_types"): vol.All([TEXT], vol.Length(min=1)),
    vol.Optional("device_class"): vol.In(["button", "doorbell", "motion"]),
    vol.Optional("value_template"): TEMPLATE,
}
IMAGE = {vol.Required("image_topic"): TOPIC, vol.Optional("content_type"): vol.Match(r"^image/")}
SENSOR = {
    vol.Required("state_topic"): TOPIC,
    vol.Optional("device_class"): "timestamp",
    vol.Optional("value_template"): TEMPLATE,
}
BINARY_SENSOR = {
    vol.Required("state_topic"): TOPIC,
    vol.Optional("device_class"): "motion",
    vol.Optional("off_delay"): vol.All(int, vol.Range(min=1)),
}
PAYLOAD = vol.Schema(
    {
        vol.Required("device"): {
            vol.Required("identifiers"): vol.All([TEXT], vol.Length(min=1)),
            vol.Optional("name"): TEXT,
            vol.Optional("manufacturer"): TEXT,
            vol.Optional("model"): TEXT,
            vol.Optional("sw_version"): TEXT,
        },
        vol.Required("origin"): {
            vol.Required("name"): TEXT,
            vol.Optional("sw_version"): TEXT,
            vol.Optional("support_url"): vol.Url(),
        },
        vol.Required("availability_topic"): TOPIC,
        vol.Required("components"): {
            vol.Match(r"^[a-zA-Z0-9_-]+$"): vol.Any(
                component("event", EVENT),
                component("image", IMAGE),
                component("sensor", SENSOR),
                component("binary_sensor", BINARY_SENSOR),
            )
        },
    }
)

CONFIG_TOPIC = r"homeassistant/device/(?:[a-zA-Z0-9_-]+/)?[a-zA-Z0-9_-]+/config"
MOST_RECORDED = 16384


def render(template: str, payload: str) -> str:
    """A value template, in the environment that templates have there."""
    made = ImmutableSandboxedEnvironment().from_string(template)
    return made.render(value=payload, value_json=json.loads(payload))


class Entity:
    """What a person sees of it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.state: Any = None
        self.attributes: dict[str, Any] = {}
        self.history: list[Any] = []

    @property
    def topics(self) -> set[str]:
        return {self.config[key] for key in self.config if key.endswith("_topic")}

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        """A message to one of its topics."""
        if topic == self.config.get("json_attributes_topic"):
            self._set_attributes(
                json.loads(render(self.config["json_attributes_template"], payload.decode()))
            )
        match self.config["platform"]:
            case "event":
                if not retained:
                    self._event(json.loads(render(self.config["value_template"], payload.decode())))
            case "image":
                self._set(payload)
            case "sensor":
                moment = datetime.fromisoformat(render(self.config["value_template"], payload.decode()))
                assert moment.tzinfo is not None
                self._set(moment)
            case "binary_sensor":
                assert payload in (b"ON", b"OFF")
                self._set(payload == b"ON")

    def _event(self, attributes: dict[str, Any]) -> None:
        kind = attributes.pop("event_type")
        assert kind in self.config["event_types"]
        self._set_attributes(attributes)
        self._set(kind)

    def _set_attributes(self, attributes: dict[str, Any]) -> None:
        assert len(json.dumps(attributes, ensure_ascii=False).encode()) < MOST_RECORDED
        self.attributes = attributes

    def _set(self, state: Any) -> None:
        self.state = state
        self.history.append(state)


class HomeAssistant:
    """Discovers devices and follows their topics. `trouble` is what its log would complain about."""

    def __init__(self, port: int) -> None:
        self.entities: dict[str, Entity] = {}
        self.available: dict[str, str] = {}
        self.payloads: list[dict[str, Any]] = []
        self.trouble: list[str] = []
        self._ids: dict[str, list[str]] = {}
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def born(self) -> None:
        """Say that we have started, as the MQTT integration does."""
        self._client.publish("homeassistant/status", "online")

    def delete(self, topic: str) -> None:
        """Somebody deletes the device in the user interface."""
        self._client.publish(topic, b"", 1, retain=True)

    async def until(self, done: Callable[[], object]) -> None:
        """Wait until this holds."""
        async with asyncio.timeout(PATIENCE):
            while not done():
                self._news.clear()
                await self._news.wait()
        assert not self.trouble

    def _on_connect(self, *_: object) -> None:
        self._client.subscribe([("homeassistant/+/+/config", 0), ("homeassistant/+/+/+/config", 0)])

    def _on_subscribe(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._subscribed.set)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._loop.call_soon_threadsafe(self._receive, message.topic, bytes(message.payload), message.retain)

    def _receive(self, topic: str, payload: bytes, retained: bool) -> None:
        try:
            if topic.endswith("/config"):
                self._configure(topic, payload)
            elif topic.endswith("/status"):
                self.available[topic] = payload.decode()
            for entity in self.entities.values():
                if topic in entity.topics:
                    entity.receive(topic, payload, retained)
        except Exception as error:  # noqa: BLE001  a log line there, a failed test here
            self.trouble.append(f"{topic}: {error!r}")
        self._news.set()

    def _configure(self, topic: str, payload: bytes) -> None:
        for each in self._ids.pop(topic, []):
            if not payload:
                del self.entities[each]
        if not payload:
            return
        assert re.fullmatch(CONFIG_TOPIC, topic)
        config = PAYLOAD(json.loads(payload))
        self.payloads.append(config)
        self._client.subscribe(config["availability_topic"])
        made = {each["default_entity_id"]: each for each in config["components"].values()}
        self._ids[topic] = list(made)
        for id_, each in made.items():
            if id_ not in self.entities:
                self.entities[id_] = Entity(each)
                self._client.subscribe([(wanted, 0) for wanted in self.entities[id_].topics])


@asynccontextmanager
async def running(port: int) -> AsyncIterator[HomeAssistant]:
    """Home Assistant, started."""
    house = HomeAssistant(port)
    try:
        async with asyncio.timeout(PATIENCE):
            await house._subscribed.wait()
        house.born()
        yield house
    finally:
        house._client.disconnect()
        await asyncio.to_thread(house._client.loop_stop)
    assert not house.trouble
