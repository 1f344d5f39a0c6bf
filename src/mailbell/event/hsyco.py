"""The HSYCO form of an event: one compact JSON object (spec/hsyco-smtpserver.md, "The data point")."""

import re

import msgspec

from mailbell.event import header
from mailbell.event.charset import decode
from mailbell.event.entity import Entity
from mailbell.event.text import clean

FIRST = ("from", "to", "subject", "date", "contenttype", "returnpath")
MAX_LINES = 64

_LINE_END = re.compile(r"\r*\n|\r")


def value(raw: bytes, root: Entity, rawbody: bool, label: str | None, fallback: str) -> str:
    """The value of the `mail` data point."""
    found: dict[str, str | list[str]] = {}
    for field in root.fields:
        key = field.name.lower().replace("-", "")
        text = header.text(field.value, label, fallback)
        before = found.get(key)
        if before is None:
            found[key] = text
        else:
            found[key] = [*before, text] if isinstance(before, list) else [before, text]
    ordered: dict[str, object] = {key: found.pop(key, "") for key in FIRST}
    ordered |= found
    ordered.pop("body", None)
    ordered["body"] = _raw_body(raw, root, fallback) if rawbody else _body(raw, root, fallback)
    return msgspec.json.encode(ordered).decode()


def _raw_body(raw: bytes, root: Entity, fallback: str) -> list[str]:
    octets = b"\n".join(raw[root.start :].split(b"\n", MAX_LINES)[:MAX_LINES])
    text = decode(octets, root.params.get("charset"), fallback).text.replace("\0", "")
    return _lines(text)


def _body(raw: bytes, root: Entity, fallback: str) -> list[str]:
    leaf = _chosen(root)
    if leaf is None:
        return []
    return _lines(clean(decode(leaf.octets(raw), leaf.params.get("charset"), fallback).text))


def _chosen(root: Entity) -> Entity | None:
    if not root.children:
        return root
    leaves = [leaf for leaf in root.leaves() if leaf.type.startswith("text/")]
    plain = (leaf for leaf in leaves if leaf.type == "text/plain")
    return next(plain, leaves[0] if leaves else None)


def _lines(text: str) -> list[str]:
    lines = _LINE_END.split(text, MAX_LINES)[:MAX_LINES]
    return lines if lines[-1] or len(lines) == MAX_LINES else lines[:-1]
