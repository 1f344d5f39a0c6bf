"""Header fields: where they end, what they say. RFC 5322, RFC 2047, RFC 2231, and what is sent instead of them."""

import binascii
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from mailbell.event.charset import decode

MAX_FIELDS = 1000
MAX_SECTION = 2 * 2**20

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\n]*+\n[ \t])*+[^\n]*+)(?:\n|\Z)")
_BLANK = re.compile(rb"[ \t]*\r*(?:\n|\Z)")
_MBOX = re.compile(rb">?From [^\n]*\n")
_FOLD = re.compile(r"\r*\n[ \t]*")
_CONTROL = re.compile("[\0-\x08\x0a-\x1f\x7f]")
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([qb])\?(.*?)\?=", re.I | re.S)
_TOKEN = r"[^\s;,=\"]+"
_PARAMETER = re.compile(r";\s*([^\s;=\"]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*+)\"?|([^;]*))", re.S)
_CONTINUED = re.compile(r"(.+?)(?:\*(\d{1,3}))?(\*)?$")


class Field(NamedTuple):
    """A header field as it travelled: the value with its folds, without the last line feed."""

    name: str
    value: bytes


class Section(NamedTuple):
    """A header section, where its body begins, and what was wrong with it."""

    fields: list[Field]
    body: int
    defect: str | None


def split(raw: bytes, start: int, end: int) -> Section:
    """Take the header section that begins at `start`. What is not a header is body."""
    fields: list[Field] = []
    found = _MBOX.match(raw, start, end)
    position = found.end() if found else start
    limit = min(end, position + MAX_SECTION)
    while position < limit and len(fields) < MAX_FIELDS:
        if found := _FIELD.match(raw, position, limit):
            fields.append(Field(found[1].decode("ascii"), found[2]))
            position = found.end()
        elif found := _BLANK.match(raw, position, limit):
            return Section(fields, found.end(), None)
        else:
            return Section(fields, position, "no empty line between header and body")
    return Section(fields, position, None)


def get(fields: list[Field], name: str) -> bytes | None:
    """The value of the first field with this name (given in lower case)."""
    for field in fields:
        if field.name.lower() == name:
            return field.value
    return None


def text(value: bytes, label: str | None = None, fallback: str = "latin-1") -> str:
    """A field's value for people: one line, charsets and encoded-words read, no control characters."""
    return words(unfold(value, label, fallback), fallback)


def unfold(value: bytes, label: str | None = None, fallback: str = "latin-1") -> str:
    """One line of text, encoded-words still in it. Raw 8-bit is UTF-8, else `label`, else `fallback`."""
    if value.isascii() and b"\x1b" not in value:
        line = value.decode("ascii")
    else:
        line = decode(value, None, label or fallback).text
    if "\n" in line:
        line = _FOLD.sub(" ", line)
    return _clean(line)


def words(line: str, fallback: str = "latin-1") -> str:
    """Decode the encoded-words of RFC 2047, wherever they stand.

    Octets are joined before they are decoded: senders cut characters in two at the end of a word.
    """
    if "=?" not in line:
        return line
    pieces: list[str] = []
    run: list[bytes] = []
    charset, position = "", 0
    for found in _WORD.finditer(line, 0, line.rfind("?=") + 2):
        label = found[1].partition("*")[0].lower()  # RFC 2231 §5 puts a language behind the charset
        gap = line[position : found.start()]
        position = found.end()
        between = bool(run) and not gap.strip()  # RFC 2047 §6.2: space between two words is not text
        if not (between and label == charset):
            pieces += _join(run, charset, fallback), "" if between else gap
            run, charset = [], label
        run.append(_octets(found[2], found[3]))
    pieces += _join(run, charset, fallback), line[position:]
    return _clean("".join(pieces))


def parameters(value: str, fallback: str = "latin-1") -> tuple[str, dict[str, str]]:
    """A Content-Type or Content-Disposition: its first word in lower case, its parameters decoded (RFC 2231)."""
    kind, semicolon, rest = value.partition(";")
    found: dict[str, str] = {}
    pieces: dict[str, dict[int, str]] = {}
    for name, quoted, bare in _PARAMETER.findall(semicolon + rest):
        content = quoted.replace('\\"', '"').replace("\\\\", "\\") if quoted else bare.strip()
        match = _CONTINUED.match(name.lower())
        if match is None or (not match[2] and not match[3]):
            found.setdefault(name.lower(), content)
        else:
            key = match[1] + ("*" if match[3] or match[1] + "*" in pieces else "*")
            pieces.setdefault(match[1], {}).setdefault(
                int(match[2] or 0), ("*" if match[3] else "") + content
            )
    for name, parts in pieces.items():
        found[name] = _extended([parts[index] for index in sorted(parts)], fallback)
    return kind.strip().lower(), found


def _extended(parts: list[str], fallback: str) -> str:
    label = ""
    octets = b""
    for index, part in enumerate(parts):
        if not part.startswith("*"):
            octets += part.encode("utf-8", "replace")
            continue
        part = part[1:]
        if index == 0 and part.count("'") >= 2:
            label, _, part = part.split("'", 2)
        octets += unquote_to_bytes(part)
    return _clean(decode(octets, label or None, fallback).text)


def _clean(line: str) -> str:
    if _CONTROL.search(line):
        line = _CONTROL.sub(" ", line.replace("\0", ""))
    return line.strip(" \t")


def _join(run: list[bytes], charset: str, fallback: str) -> str:
    return decode(b"".join(run), charset, fallback).text if run else ""


def _octets(encoding: str, encoded: str) -> bytes:
    octets = encoded.encode("utf-8", "replace")
    return binascii.a2b_qp(octets, header=True) if encoding in "qQ" else unbase64(octets)


def unbase64(octets: bytes) -> bytes:
    """Decode base64 as far as it goes."""
    try:
        return binascii.a2b_base64(octets)
    except binascii.Error:
        octets = re.sub(rb"[^A-Za-z0-9+/]", b"", octets)
        octets = octets[: len(octets) - 1] if len(octets) % 4 == 1 else octets
        return binascii.a2b_base64(octets + b"=" * (-len(octets) % 4))
