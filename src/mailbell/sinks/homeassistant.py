"""Home Assistant's MQTT discovery: the payload that makes a device and its entities. Pure.

The facts are from Home Assistant's source (2026.11): an unknown key at the root rejects the whole payload;
one in a component is dropped in silence. Events are never retained, for it ignores those; nor is ON, which
would trigger again at each of its restarts.
"""

import hashlib
import math
import re
from typing import Any

import msgspec

from mailbell import __version__
from mailbell.settings import MqttSettings

EVENT_TYPE = "mail"

# Attributes above 16 KB are not recorded, and a mail's text may be long: a summary of bounded size.
_SUMMARY = """\
'id': value_json.id, 'subject': (value_json.subject or '')[:255], \
'from': (value_json['from'].address if value_json['from'] else value_json.envelope.mail_from)[:255], \
'to': value_json.envelope.rcpt_to[:5] | map('truncate', 255, true) | list, \
'received_at': value_json.received_at, 'source': value_json.source.ip, \
'attachments': value_json.attachments[:10] | map(attribute='filename') | map('truncate', 100, true) | list"""
EVENT_TEMPLATE = f"{{{{ {{'event_type': '{EVENT_TYPE}', {_SUMMARY}}} | tojson }}}}"
ATTRIBUTES_TEMPLATE = f"{{{{ {{{_SUMMARY}}} | tojson }}}}"
LAST_TEMPLATE = "{{ value_json.received_at }}"


class Discovery:
    """What is published for each device of one sink, and how to find it again."""

    def __init__(self, settings: MqttSettings) -> None:
        self._prefix = settings.prefix
        self._root = settings.discovery_prefix
        self._off_delay = math.ceil(settings.off_delay)
        self.birth = f"{self._root}/status"
        """Here Home Assistant says `online` when it has started."""
        self.all = f"{self._root}/device/+/config"

    def topic(self, device: str) -> str:
        """Where the payload of a device goes, retained; an empty one removes the device."""
        return f"{self._root}/device/{self._id(device)}/config"

    def payload(self, device: str) -> bytes:
        """The device with its entities: event, image, last mail, motion."""
        return msgspec.json.encode(
            {
                "device": {
                    "identifiers": [self._id(device)],
                    "name": device,
                    "manufacturer": "mailbell",
                    "model": "Device that sends mail",
                    "sw_version": __version__,
                },
                "origin": {"name": "mailbell", "sw_version": __version__},
                "availability_topic": f"{self._prefix}/status",
                "components": self._components(device),
            }
        )

    def device(self, payload: bytes) -> str | None:
        """The device of a payload that this sink has published before; None for somebody else's."""
        try:
            found = msgspec.json.decode(payload, type=_Payload)
        except (ValueError, RecursionError):  # not JSON, not UTF-8, nested too deep
            return None
        known = found.availability_topic == f"{self._prefix}/status"
        return found.device.name if known and found.origin.name == "mailbell" else None

    def _components(self, device: str) -> dict[str, dict[str, Any]]:
        root, slug = f"{self._prefix}/{device}", _slug(device.lower())
        components: dict[str, dict[str, Any]] = {
            "event": {
                "platform": "event",
                "name": "Mail",
                "default_entity_id": f"event.{slug}",
                "device_class": "motion",
                "state_topic": f"{root}/event",
                "event_types": [EVENT_TYPE],
                "value_template": EVENT_TEMPLATE,
            },
            "image": {
                "platform": "image",
                "name": "Image",
                "default_entity_id": f"image.{slug}",
                "image_topic": f"{root}/image",
                "content_type": "image/jpeg",
            },
            "last": {
                "platform": "sensor",
                "name": "Last mail",
                "default_entity_id": f"sensor.{slug}_last_mail",
                "device_class": "timestamp",
                "state_topic": f"{root}/last",
                "value_template": LAST_TEMPLATE,
                "json_attributes_topic": f"{root}/last",
                "json_attributes_template": ATTRIBUTES_TEMPLATE,
            },
            "motion": {
                "platform": "binary_sensor",
                "name": "Motion",
                "default_entity_id": f"binary_sensor.{slug}_motion",
                "device_class": "motion",
                "state_topic": f"{root}/motion",
                "off_delay": self._off_delay,
            },
        }
        for name, component in components.items():
            component["unique_id"] = f"{self._id(device)}_{name}"
        return components

    def _id(self, device: str) -> str:
        """Unique, and of the letters that an object ID may have."""
        name = f"{self._prefix}_{device}"
        if re.fullmatch(r"[a-zA-Z0-9_-]+", name):
            return name
        return f"{_slug(name)}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


class _Named(msgspec.Struct):
    name: str


class _Payload(msgspec.Struct):
    device: _Named
    origin: _Named
    availability_topic: str


def _slug(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "_", text).strip("_") or "device"
