"""Text for people: which parts of a message are its body, format=flowed, and nothing that breaks a reader."""

import re

from mailbell.event.entity import Entity

MAX_FLOWED = 20_000

# Text that is a file rather than a message, even where it comes alone.
_FILES = frozenset(("text/calendar", "text/csv", "text/directory", "text/vcard", "text/x-vcard"))
# Escape sequences go as a whole: without its first octet a colour would stay as "[31m".
_ESCAPE = re.compile(rb"\x1b\[[0-9;]{0,20}[A-Za-z]")
_C0 = bytes({*range(32), 127} - set(b"\t\n"))
_C1 = re.compile(rb"\xc2[\x80-\x9f]")
_QUOTED = re.compile(r"(>*+) ?(.*)")


class Body:
    """The leaves of a message: those that are its text, as plain and as HTML, and the rest."""

    __slots__ = ("attachments", "html", "plain")

    def __init__(self) -> None:
        self.plain: list[Entity] = []
        self.html: list[Entity] = []
        self.attachments: list[Entity] = []


def clean(text: str) -> str:
    """Lines end in LF, and no control character is left but the tab.

    In UTF-8, as octets are deleted ten times as fast as characters are replaced.
    """
    octets = text.encode()
    if octets.count(b"\r") != octets.count(b"\r\n"):
        # CR CR LF comes from devices that translate line ends twice; a CR alone is a line end of its own.
        octets = octets.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\x1b" in octets:
        octets = _ESCAPE.sub(b"", octets)
    octets = octets.translate(None, _C0)
    if not octets.isascii() and _C1.search(octets):
        for control in range(0x80, 0xA0):
            octets = octets.replace(bytes((0xC2, control)), b"")
    return octets.decode()


def unflow(text: str, *, delsp: bool) -> str:
    """Join the lines of format=flowed (RFC 3676 §4): a space at its end says that a line goes on."""
    if text.count("\n") > MAX_FLOWED:
        return text
    paragraphs: list[list[str]] = []
    before: str | None = None  # the quote marks of a line that flows into this one
    for line in text.split("\n"):
        marks, content = _QUOTED.fullmatch(line).groups()  # type: ignore[union-attr]
        if content == "-- " or marks != before:
            paragraphs.append([marks + " " * bool(marks)])
        flows = content.endswith(" ") and content != "-- "
        before = marks if flows else None
        paragraphs[-1].append(content[:-1] if flows and delsp else content)
    return "\n".join("".join(pieces) for pieces in paragraphs)


def choose(entity: Entity, raw: bytes, *, alone: bool = True) -> Body:
    """Sort the leaves of a message into what is read as its text, and attachments."""
    body = Body()
    _sort(entity, raw, body, alone=alone)
    return body


def _sort(entity: Entity, raw: bytes, body: Body, *, alone: bool) -> None:
    if entity.type == "multipart/alternative" and entity.children:
        _sort_alternatives(entity, raw, body)
    elif entity.children:
        for child in entity.children:
            _sort(child, raw, body, alone=False)
    elif alone or entity.fields or raw[entity.start : entity.end].strip():
        _place(entity, raw, body, alone=alone).append(entity)


def _sort_alternatives(entity: Entity, raw: bytes, body: Body) -> None:
    """RFC 2046 §5.1.4: one thing said several ways. The first plain and the first HTML text."""
    ways = [choose(child, raw, alone=False) for child in entity.children]
    body.plain += next((way.plain for way in ways if way.plain), [])
    body.html += next((way.html for way in ways if way.html), [])
    for way in ways:
        body.attachments += way.attachments


def _place(leaf: Entity, raw: bytes, body: Body, *, alone: bool) -> list[Entity]:
    """The list that a leaf belongs to."""
    first = not (body.plain or body.html or body.attachments)
    if leaf.disposition not in ("", "inline"):  # RFC 2183 §2.8: one that is not known is an attachment
        return body.attachments
    if leaf.names and not alone and (leaf.disposition or not first):
        return body.attachments
    if leaf.encoding == "base64" and leaf.detected(raw):
        return body.attachments
    if leaf.type == "text/html":
        return body.html
    if leaf.type == "text/plain" or leaf.type.startswith("multipart/"):
        return body.plain
    return (
        body.plain
        if alone and leaf.type.startswith("text/") and leaf.type not in _FILES
        else body.attachments
    )
