"""What sinks send of an event: its JSON, with its attachments as URLs or inside where that is asked for."""

from collections.abc import Iterator
from typing import Any

import msgspec

from mailbell.event.convert import Converted
from mailbell.settings import PayloadSettings

_ENCODER = msgspec.json.Encoder()
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def full(item: Converted, settings: PayloadSettings) -> bytes:
    """Return the full form, each attachment with `url` or `content` added; `content` is null past the cap."""
    if settings.attachments == "none" or not item.event.attachments:
        return item.json
    added = _urls(item, settings) if settings.attachments == "url" else _contents(item, settings.inline_max)
    attachments = [
        msgspec.to_builtins(each) | more for each, more in zip(item.event.attachments, added, strict=True)
    ]
    return _ENCODER.encode(_FIELDS.decode(item.json) | {"attachments": attachments})


def _urls(item: Converted, settings: PayloadSettings) -> Iterator[dict[str, Any]]:
    page = (settings.page or "").rstrip("/")
    for each in item.event.attachments:
        yield {"url": f"{page}/api/v1/message/{item.event.id}/part/{each.index + 1}"}


def _contents(item: Converted, left: int) -> Iterator[dict[str, Any]]:
    for each in item.event.attachments:
        fits = each.size <= left
        left -= each.size if fits else 0
        yield {"content": item.attachment(each.index) if fits else None}  # octets become base64
