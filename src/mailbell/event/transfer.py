"""Content-Transfer-Encoding (RFC 2045 §6), taken off as far as it goes."""

import binascii
import re

_STRAY = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
_ONLY_BASE64 = re.compile(rb"[A-Za-z0-9+/=\s]*+")
_LOOSE_BREAK = re.compile(rb"=[ \t]++(?=\r?\n)")
_BAD_ESCAPE = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n|\Z)")
_CONTROL = re.compile("[\0-\x08\x0e-\x1f\ufffd]")
_MAX_PIECES = 2**15

BASE64_DAMAGED = "damaged base64: decoded as far as it goes"
BASE64_LIE = "called base64 and is none: read as it is"
QUOTED_DAMAGED = "damaged quoted-printable: decoded as far as it goes"


def unwrap(raw: bytes, start: int, end: int, encoding: str, *, text: bool) -> tuple[bytes, str | None]:
    """The octets of a body behind its transfer encoding, and what was wrong with that."""
    if encoding == "base64":
        return _from_base64(raw, start, end, text=text)
    if encoding == "quotedprintable":
        body = _LOOSE_BREAK.sub(b"=", raw[start:end])
        return binascii.a2b_qp(body), QUOTED_DAMAGED if _BAD_ESCAPE.search(body) else None
    return raw[start:end], None


def _from_base64(raw: bytes, start: int, end: int, *, text: bool) -> tuple[bytes, str | None]:
    decoded, damaged = unbase64(raw, start, end)
    if not damaged:
        return decoded, None
    if text and b" " in raw[start:end].strip() and not _plausible(decoded):
        return raw[start:end], BASE64_LIE
    return decoded, BASE64_DAMAGED


def unbase64(raw: bytes, start: int, end: int) -> tuple[bytes, bool]:
    """Decode base64 as far as it goes, and say whether it was damaged."""
    # Some senders encode line by line, each with padding of its own; others have a footer behind the padding.
    # What Python makes of either depends on its version (3.13.5 goes on, others stop), so it is not asked.
    padding = raw.find(b"=", start, end)
    if padding >= 0 and raw[padding:end].strip(b"= \t\r\n"):
        whole = _ONLY_BASE64.fullmatch(raw, padding, end)
        return _repair(raw, start, end if whole else padding), True
    try:
        decoded = binascii.a2b_base64(memoryview(raw)[start:end])
    except binascii.Error:
        return _repair(raw, start, end), True
    return decoded, not _is_clean(raw, start, end, (len(decoded) + 2) // 3 * 4)


def _is_clean(raw: bytes, start: int, end: int, letters: int) -> bool:
    """Whether all but the letters is line ends. Lines as long as the first need no counting."""
    spaces = end - start - letters
    first = raw.find(b"\n", start, end)
    eol = 2 if raw[first - 1 : first] == b"\r" else 1
    width = first + 1 - eol - start
    if width > 0 and spaces == (-(-letters // width) - 1 + (raw[end - 1] == 10)) * eol:
        return True
    return spaces == raw.count(b"\n", start, end) + raw.count(b"\r", start, end)


def _repair(raw: bytes, start: int, end: int) -> bytes:
    pieces: list[bytes] = []
    while start < end:
        padding = raw.find(b"=", start, end) if len(pieces) < _MAX_PIECES else -1
        stop = end if padding < 0 else padding
        pieces.append(_letters(raw[start:stop].translate(None, _STRAY)))
        start = stop + 1
    return b"".join(pieces)


def _letters(letters: bytes) -> bytes:
    if len(letters) % 4 == 1:  # one letter alone is less than an octet
        letters = letters[:-1]
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4) if len(letters) % 4 else letters)


def _plausible(octets: bytes) -> bool:
    text = octets.decode("utf-8", "replace")
    return len(_CONTROL.findall(text)) * 10 <= len(text)
