"""The HSYCO form of an event: one compact JSON object (spec/hsyco-smtpserver.md, "The data point")."""

from collections.abc import Iterable

import msgspec

from mailbell.event.charset import decode
from mailbell.event.defects import Defects
from mailbell.event.entity import IDENTITY, Entity
from mailbell.event.schema import HeaderField
from mailbell.event.text import clean

FIRST = ("from", "to", "subject", "date", "contenttype", "returnpath")
MAX_LINES = 64
MAX_TEXT = 2**20

_ENCODER = msgspec.json.Encoder()


def value(headers: Iterable[HeaderField], root: Entity, raw: bytes, *, rawbody: bool, fallback: str) -> str:
    """The value of the `mail` data point."""
    found: dict[str, str | list[str]] = dict.fromkeys(FIRST, "")
    seen: set[str] = set()
    for name, text in ((header.name.lower().replace("-", ""), header.value) for header in headers):
        before = found.get(name, "")
        again = [*before, text] if isinstance(before, list) else [before, text]
        found[name] = again if name in seen else text
        seen.add(name)
    found.pop("body", None)  # the key is taken
    found["body"] = _travelled(root, raw, fallback) if rawbody else _read(root, raw, fallback)
    return _ENCODER.encode(found).decode()


def _travelled(root: Entity, raw: bytes, fallback: str) -> list[str]:
    """The body as it is on the wire; each line for itself, as parts may differ in their charset."""
    lines = raw[root.start : root.start + MAX_TEXT].split(b"\n", MAX_LINES)
    if len(lines) <= MAX_LINES and not lines[-1]:
        lines.pop()  # the last line feed ends a line and begins none
    label = root.charset if root.encoding in IDENTITY else None  # letters of base64 mean something in UTF-7
    read = (decode(line.removesuffix(b"\r"), label, fallback).text for line in lines[:MAX_LINES])
    return [text.replace("\0", "") for text in read]


def _read(root: Entity, raw: bytes, fallback: str) -> list[str]:
    leaf = _chosen(root)
    if leaf is None:
        return []
    octets = leaf.octets(raw, Defects(), MAX_TEXT)
    if b"\0" in octets and not leaf.type.startswith("text/"):
        return []  # a picture has no lines
    lines = clean(decode(octets, leaf.charset, fallback).text).split("\n", MAX_LINES)
    if len(lines) <= MAX_LINES and not lines[-1]:
        lines.pop()
    return lines[:MAX_LINES]


def _chosen(root: Entity) -> Entity | None:
    """The first text/plain leaf, else the first text leaf; attachments only where there is nothing else."""
    if not root.children:
        return root
    leaves = [leaf for leaf in root.leaves() if leaf.type.startswith("text/")]
    leaves.sort(key=lambda leaf: (leaf.disposition == "attachment", leaf.type != "text/plain"))
    return leaves[0] if leaves else None
