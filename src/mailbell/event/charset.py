"""Charsets: from octets and the label on them to text.

Labels in the wild name a subset of what was written (`gb2312` over GBK, `iso-8859-1` over windows-1252), are
misspelt, or are made up. So a label leads to the codecs to try, in order. Only labels of our own table reach
Python: `codecs.lookup` would import by name, keep every unknown label for ever, and offer `unicode_escape`.
"""

import re
from encodings.aliases import aliases
from functools import lru_cache
from typing import NamedTuple

# The superset that the label's users write (WHATWG Encoding §4.2 has the same habits), then what they write too.
_SUPERSETS = {
    "gb2312": ("gb18030",),
    "gbk": ("gb18030",),
    "hz": ("hz",),
    "euc_kr": ("cp949",),
    "johab": ("johab",),
    "big5": ("cp950", "big5hkscs"),
    "cp950": ("cp950", "big5hkscs"),
    "shift_jis": ("cp932", "shift_jis_2004"),
    "euc_jp": ("euc_jp", "euc_jis_2004"),
    "iso2022_jp": ("iso2022_jp", "iso2022_jp_2004", "iso2022_jp_ext"),
    "latin_1": ("latin_1", "cp1252"),
    "iso8859_9": ("cp1254",),
    "iso8859_11": ("cp874",),
    "tis_620": ("cp874",),
}
# Aliases that Python does not know, in `_squash` form.
_ALIASES = {
    "unicode11utf7": "utf_7",
    "utf8mb4": "utf_8",
    "utf8mb3": "utf_8",
    "unicode": "utf_16",
    "ucs2": "utf_16",
    "isolatin1": "latin_1",
    "ansi": "cp1252",
    "ascii7": "ascii",
    "usacii": "ascii",
    "iso88596e": "iso8859_6",
    "iso88596i": "iso8859_6",
    "iso88598e": "iso8859_8",
    "iso88598i": "iso8859_8",
    "gb": "gb2312",
    "gb18030": "gb18030",
    "gb180302000": "gb18030",
    "csgb2312": "gb2312",
    "euccn": "gb2312",
    "gb231280": "gb2312",
    "hzgb2312": "hz",
    "ksc56011987": "euc_kr",
    "ksc56011989": "euc_kr",
    "ksc5601": "euc_kr",
    "kscode": "euc_kr",
    "uhc": "cp949",
    "cneucbig5": "big5",
    "big5eten": "big5",
    "eucjp": "euc_jp",
    "sjis": "shift_jis",
    "mssjis": "shift_jis",
    "windows31j": "cp932",
    "cp50220": "iso2022_jp",
    "cp50221": "iso2022_jp",
    "cp51932": "euc_jp",
    "cp65001": "utf_8",
    "cp936": "gb18030",
    "macroman": "mac_roman",
    "macintosh": "mac_roman",
    "macce": "mac_latin2",
    "maccyrillic": "mac_cyrillic",
    "koi8": "koi8_r",
    "cp20866": "koi8_r",
    "cp21866": "koi8_u",
    "cp28591": "latin_1",
    "cp28592": "iso8859_2",
    "cp28605": "iso8859_15",
    "cp1250": "cp1250",
}
# Text that is not a superset of ASCII, or no text at all: nothing that mail is written in.
_FORBIDDEN = re.compile(
    r"(base64|bz2|hex|quopri|rot_13|uu|zlib)_?codec|rot_13|mbcs|oem|undefined|idna|punycode|.*unicode_escape|"
    r"cp(037|1026|1140|1125|273|424|500|864|875)|ptcp154|utf_8_sig|unicode_internal"
)
_NAMES = {"latin_1": "iso-8859-1", "ascii": "us-ascii", "hz": "hz-gb-2312", "tis_620": "tis-620"}
_SEVEN_BIT = frozenset(
    ("utf_7", "hz", "iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_2004", "iso2022_jp_3")
)
_SEVEN_BIT |= frozenset(
    ("iso2022_jp_ext", "iso2022_kr", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be")
)
_BOMS = ((b"\xef\xbb\xbf", "utf_8"), (b"\xff\xfe", "utf_16"), (b"\xfe\xff", "utf_16"))
_SURROGATES = re.compile("[\ud800-\udfff]")
_C1 = re.compile(rb"[\x80-\x9f]")


def _squash(label: str) -> str:
    squashed = re.sub(r"[^a-z0-9]", "", label.lower())
    squashed = re.sub(r"^(charset|x|cs(?=[a-z]))+", "", squashed)
    return re.sub(r"^(windows|ibm|dos|ms|cswindows)(?=\d)", "cp", squashed)


_TABLE = {_squash(codec): codec for codec in aliases.values() if not _FORBIDDEN.fullmatch(codec)}
_TABLE |= {_squash(alias): codec for alias, codec in aliases.items() if not _FORBIDDEN.fullmatch(codec)}
_TABLE |= _ALIASES


class Decoded(NamedTuple):
    """Text, the charset that it was read in, and whether that was a guess."""

    text: str
    used: str
    guessed: bool


@lru_cache(1024)
def codecs_of(label: str) -> tuple[str, ...]:
    """Python's names of the codecs to try for this label, best first; empty when the label says nothing."""
    codec = _TABLE.get(_squash(label[:60]))
    return () if codec is None else _SUPERSETS.get(codec, (codec,))


def name_of(codec: str) -> str:
    """The name that mail gives to what Python calls `codec`."""
    return _NAMES.get(codec) or re.sub(r"^cp(?=12)", "windows-", codec).replace(
        "iso8859", "iso-8859"
    ).replace("_", "-")


def decode(octets: bytes, label: str | None, fallback: str = "latin-1") -> Decoded:
    """Read text in its charset, or in what it most likely is: never raises, never gives a lone surrogate."""
    codecs = codecs_of(label) if label else ()
    if octets.isascii() and not (codecs and codecs[0] in _SEVEN_BIT) and b"\x1b$" not in octets:
        used = name_of(codecs[0]) if codecs else "us-ascii"
        return Decoded(octets.decode("ascii"), used, guessed=bool(label) and not codecs)
    for bom, codec in _BOMS:
        if octets.startswith(bom) and (text := _strict(octets, codec)) is not None:
            return Decoded(text.lstrip("\ufeff"), name_of(codec), guessed=codec not in codecs)
    for codec in codecs:
        if (text := _strict(octets, codec)) is not None:
            return Decoded(text, name_of(codec), guessed=False)
    return _guess(octets, codecs, fallback)


def _guess(octets: bytes, codecs: tuple[str, ...], fallback: str) -> Decoded:
    if b"\x1b$" in octets and (text := _strict(octets, "iso2022_jp_2004")) is not None:
        return Decoded(text, "iso-2022-jp", guessed=True)
    if (text := _strict(octets, "utf_8")) is not None:
        return Decoded(text, "utf-8", guessed=True)
    for codec in codecs[:1]:
        if (text := _mostly(octets, codec)) is not None:
            return Decoded(text, name_of(codec), guessed=True)
    for codec in (*codecs_of(fallback), "cp1252"):
        if (text := _strict(octets, codec)) is not None:
            return Decoded(text, name_of(codec), guessed=True)
    return Decoded(octets.decode("latin_1"), "iso-8859-1", guessed=True)


def _strict(octets: bytes, codec: str) -> str | None:
    # C1 controls are no text: octets 80..9F under a Latin-1 label are windows-1252 (WHATWG Encoding §4.2).
    if codec == "latin_1" and _C1.search(octets):
        return None
    try:
        text = octets.decode(codec)
    except (UnicodeError, ValueError):
        return None
    # CPython's UTF-7 hands lone surrogates through.
    return None if codec == "utf_7" and _SURROGATES.search(text) else text


def _mostly(octets: bytes, codec: str) -> str | None:
    """Read text of which only a few characters are damaged; None where the label is rather a lie."""
    text = _SURROGATES.sub("\ufffd", octets.decode(codec, "replace"))
    damaged = text.count("\ufffd")
    foreign = sum(1 for _ in re.finditer("[^\0-\x7f\ufffd]", text))
    return text if damaged <= foreign else None
