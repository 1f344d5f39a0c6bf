"""The MIME tree (RFC 2045, 2046): entities as places in the raw octets, found in one pass."""

import re
from collections.abc import Iterator

from mailbell.event import header
from mailbell.event.defects import Defects
from mailbell.event.detect import HEAD, detect
from mailbell.event.header import Field, Reader
from mailbell.event.transfer import unbase64, unwrap

MAX_PARTS = 1000
MAX_DEPTH = 50
MAX_LINE = 1000
MAX_GUESSES = 4
MAX_LOOKALIKES = 1000
MAX_PREAMBLE = 2**20
MAX_PARAMETERS = 2**16

_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+|multipart/.+")
_WANTED = frozenset(("content-type", "content-disposition", "content-transfer-encoding", "content-id"))
IDENTITY = frozenset(("", "7bit", "8bit", "binary"))
_NO_LETTER = re.compile("[^a-z0-9]")
_GUESS = re.compile(rb"\n--([^\r\n]{1,200}+)\r*+\n(?=content-)", re.IGNORECASE)


class Entity:
    """A message or a part: its header, and where its body stands in the raw octets.

    `type` is how it is read, `declared` what it says of itself.
    """

    __slots__ = (
        "children",
        "declared",
        "disposition",
        "encoding",
        "end",
        "fields",
        "lines",
        "names",
        "params",
        "start",
        "type",
    )

    def __init__(self, fields: list[Field], start: int, end: int, default: str, reader: Reader) -> None:
        self.fields = fields
        self.start = start
        self.end = end
        self.children: list[Entity] = []
        self.lines = _mime_lines(fields, reader)
        kind, self.params = reader.parameters(self.lines.get("content-type", ""))
        if not _TYPE.fullmatch(kind):
            if "content-type" in self.lines:
                reader.defects.note("Content-Type names no type: guessed")
            kind = _guessed_type(kind, self.params, default)
        self.declared = self.type = kind
        self.disposition, params = reader.parameters(self.lines.get("content-disposition", ""))
        names = (params.get("filename"), self.params.get("name"), self.params.get("file"))
        self.names = tuple(name for name in names if name)
        encoding = self.lines.get("content-transfer-encoding", "").partition(";")[0]
        self.encoding = _NO_LETTER.sub("", encoding.lower())

    @property
    def charset(self) -> str | None:
        """The label on the text."""
        return self.params.get("charset", "")[:100] or None

    def octets(self, raw: bytes, defects: Defects, limit: int | None = None) -> bytes:
        """The body behind its transfer encoding; whole lines of no more than `limit` octets of it."""
        if self.encoding not in IDENTITY and self.encoding not in ("base64", "quotedprintable"):
            defects.note(f'unknown transfer encoding "{self.encoding[:60]}": read as it is')
        end = self.end
        if cut := limit is not None and end > self.start + limit:
            end = raw.rfind(b"\n", self.start, self.start + limit) + 1 or self.start + limit
        octets, defect = unwrap(raw, self.start, end, self.encoding, text=self.type.startswith("text/"))
        if defect:
            defects.note(defect)
        return octets[: octets.rfind(b"\n") + 1] or octets if cut else octets

    def detected(self, raw: bytes) -> str | None:
        """The type that the first octets speak of."""
        if self.encoding != "base64":
            return detect(raw[self.start : min(self.end, self.start + HEAD)])
        head, _ = unbase64(raw, self.start, min(self.end, self.start + 2 * HEAD))
        return detect(head)

    def leaves(self) -> Iterator["Entity"]:
        """Every part that is no multipart, in order."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()


def _mime_lines(fields: list[Field], reader: Reader) -> dict[str, str]:
    """The fields that RFC 2045 and RFC 2183 define, each on one line; the first of a name counts."""
    lines: dict[str, str] = {}
    for name, value in fields:
        key = name.lower()
        if key in _WANTED and key not in lines:
            lines[key] = reader.line(value)[:MAX_PARAMETERS]
    return lines


def _guessed_type(kind: str, params: dict[str, str], default: str) -> str:
    """RFC 2045 §5.2 has what is no type read as text; but a boundary is there for a reason."""
    if "boundary" in params:
        return "multipart/mixed"
    return "text/html" if "html" in kind else default


def parse(raw: bytes, fallback: str, defects: Defects) -> Entity:
    """Find every part of a message in one pass over its octets."""
    return _Parser(raw, Reader(None, fallback, defects), defects).parse()


class _Open:
    """A multipart whose end has not been seen; `hit` is where its boundary, or nothing, comes next."""

    __slots__ = ("entity", "hit", "needle")

    def __init__(self, boundary: bytes, entity: Entity) -> None:
        self.needle = b"\n--" + boundary
        self.entity = entity
        self.hit = -1


class _Parser:
    """One pass over the lines that begin with a boundary; `_stack` holds the multiparts that are open."""

    def __init__(self, raw: bytes, reader: Reader, defects: Defects) -> None:
        self._raw = raw
        self._reader = reader
        self._defects = defects
        self._stack: list[_Open] = []
        self._levels: dict[bytes, int] = {}
        self._leaf: Entity | None = None
        self._parts = self._lookalikes = self._guesses = 0

    def parse(self) -> Entity:
        root = self._begin(0, "text/plain")
        position = root.start
        while self._stack and (found := self._next(position - 1)) < len(self._raw):
            stop = self._raw.find(b"\n", found + 1)
            position = self._line(found + 1, len(self._raw) if stop < 0 else stop + 1)
        if self._stack:
            self._defects.note("multipart without its last boundary: read to the end")
        return root

    def _next(self, position: int) -> int:
        """The line feed in front of the next line that begins with an open boundary.

        An inner boundary counts up to the next outer one only, so that no octet is searched twice on a level.
        """
        limit = len(self._raw)
        for level in self._stack:
            if level.hit < position:
                found = self._raw.find(level.needle, position, limit)
                level.hit = limit if found < 0 else found
            limit = min(limit, level.hit)
        return limit

    def _line(self, start: int, stop: int) -> int:
        """Act on a line that begins like a boundary; return where to go on."""
        line = self._raw[start + 2 : min(stop, start + MAX_LINE)].rstrip()
        level = self._levels.get(line)
        if level is not None:
            return self._open(level, start, stop)
        name, hyphens, rest = line.rpartition(b"--")
        level = self._levels.get(name) if hyphens and not rest.strip(b"->;. \t") else None
        if level is not None:
            self._end_leaf(start)
            self._unwind(level)
            return stop
        self._lookalikes += 1
        if self._lookalikes == MAX_LOOKALIKES:
            self._give_up(f"more than {MAX_LOOKALIKES} lines like a boundary: what follows is one part")
        return stop

    def _open(self, level: int, start: int, stop: int) -> int:
        self._end_leaf(start)
        self._unwind(level + 1)
        self._parts += 1
        if self._parts > MAX_PARTS:
            self._give_up(f"more than {MAX_PARTS} parts: the rest left out")
            return stop
        parent = self._stack[level].entity
        part = self._begin(stop, "message/rfc822" if parent.type == "multipart/digest" else "text/plain")
        parent.children.append(part)
        return part.start

    def _begin(self, start: int, default: str) -> Entity:
        section = header.split(self._raw, start, len(self._raw), self._defects)
        entity = Entity(section.fields, section.body, len(self._raw), default, self._reader)
        self._leaf = entity
        if entity.type.startswith("multipart/"):
            self._begin_multipart(entity)
        return entity

    def _begin_multipart(self, entity: Entity) -> None:
        boundary = self._boundary(entity)
        if boundary is None:
            entity.type = "text/plain"
        elif len(self._stack) == MAX_DEPTH:
            entity.type = "application/octet-stream"
            self._defects.note(f"parts nested more than {MAX_DEPTH} deep: the rest is one attachment")
        else:
            self._levels[boundary] = len(self._stack)
            self._stack.append(_Open(boundary, entity))

    def _boundary(self, entity: Entity) -> bytes | None:
        boundary = entity.params.get("boundary", "").rstrip().encode("utf-8", "replace")
        window = MAX_PREAMBLE if self._guesses < MAX_GUESSES else MAX_LINE
        if boundary and self._raw.find(b"--" + boundary, entity.start, entity.start + window) >= 0:
            return boundary
        self._guesses += 1
        found = _GUESS.search(self._raw, max(entity.start - 1, 0)) if self._guesses <= MAX_GUESSES else None
        wrong = "with a wrong boundary" if boundary else "without a boundary"
        self._defects.note(f"multipart {wrong}: {'the one that is there taken' if found else 'read as text'}")
        return found[1].rstrip() if found else None

    def _end_leaf(self, start: int) -> None:
        """The line end in front of a boundary belongs to the boundary (RFC 2046 §5.1.1)."""
        if self._leaf is not None:
            body = self._leaf.start
            end = max(start - 1, body)
            while end > body and self._raw[end - 1] == 13:
                end -= 1
            self._leaf.end = end
        self._leaf = None

    def _unwind(self, level: int) -> None:
        if level < len(self._stack):
            del self._stack[level:]
            self._levels = {still.needle[3:]: index for index, still in enumerate(self._stack)}

    def _give_up(self, why: str) -> None:
        self._defects.note(why)
        self._unwind(0)
