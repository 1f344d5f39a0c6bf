"""Charsets: from octets and the label on them to text.

Labels in the wild name a subset of what was written (`gb2312` over GBK, `iso-8859-1` over windows-1252), are
misspelt, or are made up. So a label leads to the codecs to try, in order. Only names of our own table reach
Python: `codecs.lookup` would import by name, keep every unknown label for ever, and offer `unicode_escape`.
"""

import re
from encodings.aliases import aliases
from functools import lru_cache
from typing import NamedTuple

# What the users of a label write (WHATWG Encoding §4.2 reads it so too), then what else they write under it.
_SUPERSETS = {
    "gb2312": ("gb18030",),
    "gbk": ("gb18030",),
    "euc_kr": ("cp949",),
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
# Labels that Python does not know, squashed.
_ALIASES = {
    "ansi": "cp1252",
    "ascii7": "ascii",
    "usacii": "ascii",
    "cp20866": "koi8_r",
    "cp21866": "koi8_u",
    "cp28591": "latin_1",
    "cp28592": "iso8859_2",
    "cp28605": "iso8859_15",
    "cp31j": "cp932",
    "cp50220": "iso2022_jp",
    "cp50221": "iso2022_jp",
    "cp51932": "euc_jp",
    "cp65001": "utf_8",
    "cp936": "gb18030",
    "cneucbig5": "big5",
    "big5eten": "big5",
    "eucjp": "euc_jp",
    "gb": "gb2312",
    "gb180302000": "gb18030",
    "isolatin1": "latin_1",
    "iso88596e": "iso8859_6",
    "iso88596i": "iso8859_6",
    "iso88598e": "iso8859_8",
    "iso88598i": "iso8859_8",
    "koi8": "koi8_r",
    "ksc56011987": "euc_kr",
    "ksc56011989": "euc_kr",
    "macce": "mac_latin2",
    "sjis": "shift_jis",
    "ucs2": "utf_16",
    "unicode": "utf_16",
    "unicode11utf7": "utf_7",
    "utf8mb3": "utf_8",
    "utf8mb4": "utf_8",
}
# No charset of text, or one in which ASCII octets are not ASCII and which no mail is written in (EBCDIC).
_FORBIDDEN = re.compile(
    r".*_codec|rot_13|mbcs|oem|undefined|idna|punycode|.*unicode_escape|cp(037|1026|1140|1125|273|424|500|864|875)"
)
_NAMES = {"latin_1": "iso-8859-1", "ascii": "us-ascii", "hz": "hz-gb-2312", "cp932": "windows-31j"}
_PROPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]*")
_SEVEN_BIT = re.compile("utf_7|hz|iso2022_.*|utf_(16|32).*")
_BOMS = ((b"\xef\xbb\xbf", "utf_8"), (b"\xff\xfe", "utf_16"), (b"\xfe\xff", "utf_16"))
_SURROGATE = re.compile("[\ud800-\udfff]")
_C1 = re.compile(rb"[\x80-\x9f]")


def _squash(label: str) -> str:
    letters = re.sub(r"[^a-z0-9]", "", label.lower())
    letters = re.sub(r"^(charset|x(?!\d)|cs(?=[a-z]))+", "", letters)
    return re.sub(r"^(windows|ibm|dos|ms)(?=\d)", "cp", letters)


_TABLE = {_squash(codec): codec for codec in aliases.values()}
_TABLE |= {_squash(alias): codec for alias, codec in aliases.items()}
_TABLE = {label: codec for label, codec in _TABLE.items() if not _FORBIDDEN.fullmatch(codec)} | _ALIASES


class Decoded(NamedTuple):
    """Text, the charset that it was read in, and what that means for the label."""

    text: str
    used: str
    guessed: bool
    defect: str | None = None


def codecs_of(label: str) -> tuple[str, ...]:
    """Python's names of the codecs to try for this label, best first; empty when the label says nothing."""
    return _codecs_of(label[:60])  # no label is longer, and a cache must not keep what strangers send


@lru_cache(1024)
def _codecs_of(label: str) -> tuple[str, ...]:
    codec = _TABLE.get(_squash(label))
    return () if codec is None else _SUPERSETS.get(codec, (codec,))


@lru_cache(256)
def name_of(codec: str) -> str:
    """The name that mail gives to what Python calls `codec`."""
    name = _NAMES.get(codec) or re.sub(r"^cp(?=12)", "windows-", codec)
    return name.replace("iso8859", "iso-8859").replace("iso2022", "iso-2022").replace("_", "-")


def decode(octets: bytes, label: str | None, *fallbacks: str | None) -> Decoded:
    """Read text by its label, or as what it most likely is. Never raises, never gives a lone surrogate."""
    codecs = codecs_of(label) if label else ()
    if octets.isascii() and b"\x1b$" not in octets and not (codecs and _SEVEN_BIT.fullmatch(codecs[0])):
        own = _TABLE[_squash(label[:60])] if label and codecs else "ascii"
        return _labelled(octets.decode("ascii"), own, label, (own,) if codecs else ())
    for mark, codec in _BOMS:
        if octets.startswith(mark) and (text := _strict(octets, codec)) is not None:
            return _labelled(text.removeprefix("\ufeff"), codec, label, codecs)
    for codec in codecs:
        if (text := _strict(octets, codec)) is not None:
            return _labelled(text, codec, label, codecs)
    text, codec = _guess(octets, codecs, fallbacks)
    read = _labelled(text, codec, label, codecs)._replace(guessed=True)
    return read._replace(defect=f"with damaged {read.used}") if codec in codecs else read


def _labelled(text: str, codec: str, label: str | None, codecs: tuple[str, ...]) -> Decoded:
    used = name_of(codec)
    if label is None or label.lower() == used:
        return Decoded(text, used, guessed=False)
    if not codecs:
        return Decoded(
            text, used, guessed=True, defect=f'in an unknown charset "{label[:60]}": read as {used}'
        )
    if codec not in codecs:
        return Decoded(text, used, guessed=True, defect=f'not in its charset "{label[:60]}": read as {used}')
    if _TABLE.get(_squash(label[:60])) == codec and _PROPER.fullmatch(label):
        return Decoded(text, used, guessed=False)
    return Decoded(text, used, guessed=False, defect=f'in charset "{label[:60]}": read as {used}')


def _guess(octets: bytes, codecs: tuple[str, ...], fallbacks: tuple[str | None, ...]) -> tuple[str, str]:
    if b"\x1b$" in octets and (text := _strict(octets, "iso2022_jp_2004")) is not None:
        return text, "iso2022_jp"
    if (text := _strict(octets, "utf_8")) is not None:
        return text, "utf_8"
    if codecs and (text := _mostly(octets, codecs[0])) is not None:
        return text, codecs[0]
    for label in (*fallbacks, "cp1252"):
        for codec in codecs_of(label or ""):
            if (text := _strict(octets, codec)) is not None:
                return text, codec
    return octets.decode("latin_1"), "latin_1"


def _strict(octets: bytes, codec: str) -> str | None:
    # C1 controls are no text: octets 80..9F under a Latin-1 label are windows-1252 (WHATWG Encoding §4.2).
    if codec == "latin_1" and _C1.search(octets):
        return None
    try:
        text = octets.decode(codec)
    except ValueError:
        return None
    # CPython's UTF-7 hands lone surrogates through.
    return None if codec == "utf_7" and _SURROGATE.search(text) else text


def _mostly(octets: bytes, codec: str) -> str | None:
    """Text of which a few characters are damaged; None where the label is rather a lie."""
    text = _SURROGATE.sub("\ufffd", octets.decode(codec, "replace"))
    damaged = text.count("\ufffd")
    foreign = len(text) - len(text.encode("ascii", "ignore")) - damaged
    return text if damaged <= foreign else None
