"""Header fields: where they end, what they say. RFC 5322, 2047 and 2231, and what is sent instead of them."""

import binascii
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from mailbell.event.charset import decode
from mailbell.event.defects import Defects
from mailbell.event.transfer import unbase64

MAX_FIELDS = 1000
MAX_SECTION = 2 * 2**20
# Words of one charset that follow each other are decoded as one run. Three full pages of recipients fit in.
MAX_WORK = 50_000
RUN_WORK = 25

# Patterns for strangers' octets have no two ways to match a character: none backtracks over a long line.
_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:((?:[^\n]*+\n[ \t])*+[^\n]*+)(?:\n|\Z)")
_BLANK = re.compile(rb"[ \t]*+\r*+(?:\n|\Z)")
_KNOWN = (
    r"from|to|b?cc|subject|date|message-id|mime-version|content-[a-z-]+|received|reply-to|sender|return-path|"
    r"importance|priority|user-agent|x-[!-9;-~]+"
)
_KNOWN_NAME = re.compile(_KNOWN, re.IGNORECASE)
_NEXT = rb"(?=(?:%b)[ \t]*:)" % _KNOWN.encode()
# Before the first field: mbox's line, or empty lines and blanks that a device sends first.
_PROLOGUE = re.compile(rb">?From [^\n]*+\n|(?:[ \t]*+\r*+\n){0,4}+[ \t]*+" + _NEXT, re.IGNORECASE)
# The rest of a field whose folds lost their white space, recognised by the field that comes next.
_WRAPPED = re.compile(rb"((?:(?!--)[^\r\n][^\n]*+\n){1,3}?)" + _NEXT, re.IGNORECASE)
_FOLD = re.compile(r"\n[ \t]*+")
_CONTROL = re.compile("[\0-\x08\x0a-\x1f\x7f]")
_WORD = re.compile(r"=\?([^?\s]{1,60})\?\s?([qb])\s?\?(.*?)\?=", re.IGNORECASE | re.DOTALL)
_KIND = re.compile(r"(?:[^\s;,=]++(?!=))?")
_PARAMETER = re.compile(r"(?:^|[;,\s])([^\s;=\",]++)\s*+=\s*+(?:\"((?:[^\"\\]|\\.)*+)\"?|([^;]*))", re.DOTALL)
_SPLIT_NAME = re.compile(r"([^*]+)(?:\*(\d{1,3}))?(\*)?")


class Field(NamedTuple):
    """A header field as it travelled: the value with its folds, without the last line feed."""

    name: str
    value: bytes


class Section(NamedTuple):
    """A header section and where its body begins."""

    fields: list[Field]
    body: int


def split(raw: bytes, start: int, end: int, defects: Defects) -> Section:
    """Take the header section that begins at `start`. What is not a header is body."""
    fields: list[Field] = []
    limit = min(end, start + MAX_SECTION)
    position = start
    if start == 0 and (found := _PROLOGUE.match(raw, 0, limit)):
        position = found.end()
        if found[0].isspace():
            defects.note("blanks in front of the header: left out")
    while position < limit and len(fields) < MAX_FIELDS:
        if found := _FIELD.match(raw, position, limit):
            fields.append(Field(found[1].decode("ascii"), found[2]))
        elif found := _BLANK.match(raw, position, limit):
            return Section(fields, found.end())
        elif fields and (found := _WRAPPED.match(raw, position, limit)):
            fields[-1] = Field(fields[-1].name, fields[-1].value + b"\n " + found[1])
            defects.note("header line without a name: read as part of the field before it")
        else:
            break
        position = found.end()
    if not any(_KNOWN_NAME.fullmatch(field.name) for field in fields):
        if fields:
            defects.note("no header field of mail's: all of it is body")
        return Section([], start)
    if position < end:
        whole = position < limit and len(fields) < MAX_FIELDS
        defects.note(
            "no empty line after the header" if whole else "header too long: its end is read as body"
        )
    return Section(fields, position)


class Reader:
    """Reads the fields of one message: `label` is its declared charset, `fallback` the I/O server's."""

    __slots__ = ("_fallback", "_label", "_work", "defects")

    def __init__(self, label: str | None, fallback: str, defects: Defects) -> None:
        self._label = label
        self._fallback = fallback
        self.defects = defects
        self._work = MAX_WORK

    def line(self, value: bytes) -> str:
        """A field's value on one line, encoded-words left. Raw 8-bit is UTF-8, else what the labels say."""
        if value.isascii() and b"\x1b$" not in value:
            line = value.decode("ascii")
        else:
            line, used, _, _ = decode(value, None, self._label, self._fallback)
            if used != "utf-8":
                self.defects.note(f"header in raw 8-bit: read as {used}")
        if "\n" in line:
            line = _FOLD.sub(" ", line.replace("\r\n", "\n"))
        return _clean(line)

    def words(self, line: str) -> str:
        """Decode the encoded-words of RFC 2047, wherever they stand."""
        if "=?" not in line:
            return line
        decoded = self._words(line)
        # Gateways encode what was encoded: one more time is meant, a third is an attack.
        return self._words(decoded) if "=?" in decoded and decoded != line else decoded

    def _words(self, line: str) -> str:
        pieces: list[str] = []
        run: list[bytes] = []
        charset, position = "", 0
        for found in _WORD.finditer(line, 0, line.rfind("?=") + 2):
            self._work -= 1
            if self._work < 0:
                self.defects.note("too many encoded-words: the rest kept as they are")
                break
            label, encoding, encoded = found.groups()
            octets = _octets(encoding, encoded)
            if octets is None:
                self.defects.note("encoded-word that makes no sense: kept as it is")
                continue
            label = label.partition("*")[0].lower()  # RFC 2231 §5 puts a language behind the charset
            gap = line[position : found.start()]
            position = found.end()
            between = bool(run) and not gap.strip()  # RFC 2047 §6.2: space between two words is no text
            if not (between and label == charset):
                pieces += self._join(run, charset), "" if between else gap
                run, charset = [], label
            run.append(octets)
        pieces += self._join(run, charset), line[position:]
        return _clean("".join(pieces))

    def _join(self, run: list[bytes], charset: str) -> str:
        """Decode the words of a run as one: senders cut characters in two at the end of a word."""
        if not run:
            return ""
        self._work -= RUN_WORK
        text, _, _, defect = decode(b"".join(run), charset, self._label, self._fallback)
        if defect:
            self.defects.note(f"encoded-word {defect}")
        return text

    def parameters(self, line: str) -> tuple[str, dict[str, str]]:
        """A Content-Type or Content-Disposition: what it is, in lower case, and its parameters (RFC 2231)."""
        if not line:
            return "", {}
        kind = _KIND.match(line)[0].lower()  # type: ignore[index]
        found: dict[str, str] = {}
        split: dict[str, dict[int, tuple[bool, str]]] = {}
        for name, quoted, bare in _PARAMETER.findall(line, len(kind)):
            value = quoted.replace('\\"', '"').replace("\\\\", "\\") or bare.strip()
            match = _SPLIT_NAME.fullmatch(name.lower())
            if match and (match[2] or match[3]):
                split.setdefault(match[1], {}).setdefault(int(match[2] or 0), (bool(match[3]), value))
            else:
                found.setdefault(name.lower(), value)
        for name, pieces in split.items():
            found[name] = self._assemble([pieces[index] for index in sorted(pieces)])
        return kind, found

    def _assemble(self, pieces: list[tuple[bool, str]]) -> str:
        """RFC 2231 §3 and §4: pieces of one value, those with an asterisk percent-encoded."""
        label: str | None = None
        octets: list[bytes] = []
        for encoded, piece in pieces:
            if encoded and label is None and piece.count("'") >= 2:
                label, _, piece = piece.split("'", 2)
            octets.append(unquote_to_bytes(piece) if encoded else piece.encode("utf-8", "replace"))
        return _clean(decode(b"".join(octets), label or None, self._fallback).text)


def _clean(line: str) -> str:
    if not line.isprintable():  # quicker than to look for controls
        line = _CONTROL.sub(" ", line.replace("\0", ""))
    return line.strip()


def _octets(encoding: str, encoded: str) -> bytes | None:
    """What an encoded-word holds; None where it is no encoding of anything."""
    if encoding in "qQ":
        return binascii.a2b_qp(encoded.encode(), header=True)
    octets = encoded.encode()
    try:
        decoded = binascii.a2b_base64(octets)
    except binascii.Error:
        decoded, _ = unbase64(octets, 0, len(octets))
    return decoded or (None if encoded.strip() else b"")
