"""The MIME tree: entities as places in the raw octets, found in one pass, decoded on request. RFC 2045, RFC 2046."""

import binascii
import re
from collections.abc import Iterator

from mailbell.event import header
from mailbell.event.header import Field

MAX_PARTS = 1000
MAX_DEPTH = 50


class Entity:
    """A message or a part: its header and where its body stands in the raw octets."""

    __slots__ = ("children", "disposition", "encoding", "end", "fields", "params", "start", "type")

    def __init__(self, fields: list[Field], start: int, end: int, default: str, fallback: str) -> None:
        self.fields = fields
        self.start = start
        self.end = end
        self.children: list[Entity] = []
        self.type, self.params = header.parameters(self.line("content-type"), fallback)
        if not re.fullmatch(r"[^\s/;]+/[^\s/;]+", self.type):
            self.type = default
        self.disposition, params = header.parameters(self.line("content-disposition"), fallback)
        if "filename" in params:
            self.params["name"] = params["filename"]
        self.encoding = re.sub("[^a-z0-9]", "", self.line("content-transfer-encoding").lower())

    def line(self, name: str) -> str:
        """A field's value on one line; empty when there is none."""
        value = header.get(self.fields, name)
        return "" if value is None else header.unfold(value)

    def octets(self, raw: bytes) -> bytes:
        """The body, its transfer encoding taken off as far as that goes."""
        body = memoryview(raw)[self.start : self.end]
        if self.encoding == "base64":
            return header.unbase64(body)
        if self.encoding == "quotedprintable":
            return binascii.a2b_qp(body)
        return bytes(body)

    def leaves(self) -> Iterator["Entity"]:
        """Every part that is no multipart, in order."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()


def parse(raw: bytes, fallback: str, defects: list[str]) -> Entity:
    """Find every part of a message in one pass over its octets."""
    section = header.split(raw, 0, len(raw))
    root = Entity(section.fields, section.body, len(raw), "text/plain", fallback)
    if section.defect:
        defects.append(section.defect)
    _Parser(raw, root, fallback).run()
    return root


class _Parser:
    def __init__(self, raw: bytes, root: Entity, fallback: str) -> None:
        self.raw = raw
        self.fallback = fallback
        self.stack: list[tuple[bytes, Entity]] = []
        self.parts = 0
        self.leaf: Entity | None = None
        self.begin(root)

    def begin(self, entity: Entity) -> None:
        boundary = entity.params.get("boundary", "").encode("utf-8", "replace").rstrip()
        self.leaf = entity
        if entity.type.startswith("multipart/") and boundary and len(self.stack) < MAX_DEPTH:
            self.stack.append((boundary, entity))

    def run(self) -> None:
        position = self.stack[0][1].start if self.stack else len(self.raw)
        while self.stack and self.parts < MAX_PARTS:
            position = self._next(position)
            if position < 0:
                return
            end = self.raw.find(b"\n", position)
            end = len(self.raw) if end < 0 else end + 1
            self._line(position, end)
            position = max(end - 1, self.leaf.start - 1) if self.leaf else end - 1

    def _next(self, position: int) -> int:
        if self.raw.startswith(b"--", position):
            return position
        found = self.raw.find(b"\n--", position)
        return found if found < 0 else found + 1

    def _line(self, start: int, end: int) -> None:
        line = self.raw[start + 2 : min(end, start + 1000)].rstrip()
        for level in range(len(self.stack) - 1, -1, -1):
            boundary, entity = self.stack[level]
            if line == boundary:
                return self._open(level, start, end)
            if line == boundary + b"--":
                self._close(start)
                del self.stack[level:]
                return None
        return None

    def _close(self, start: int) -> None:
        if self.leaf and not self.leaf.children:
            end = start - 1 if start else 0
            while end > self.leaf.start and self.raw[end - 1 : end] == b"\r":
                end -= 1
            self.leaf.end = max(end, self.leaf.start)
        self.leaf = None

    def _open(self, level: int, start: int, end: int) -> None:
        self._close(start)
        del self.stack[level + 1 :]
        parent = self.stack[level][1]
        section = header.split(self.raw, end, len(self.raw))
        default = "message/rfc822" if parent.type == "multipart/digest" else "text/plain"
        part = Entity(section.fields, section.body, len(self.raw), default, self.fallback)
        parent.children.append(part)
        self.parts += 1
        self.begin(part)
