"""Charsets: labels as they are written, octets as they are, and nothing that JSON can't hold."""

import re
from encodings.aliases import aliases

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.event.charset import codecs_of, decode, name_of

LABELS = {
    "utf-8": "utf_8",
    "UTF8": "utf_8",
    "'utf-8'": "utf_8",
    "charset=utf-8": "utf_8",
    "unicode-1-1-utf-7": "utf_7",
    "us-ascii": "ascii",
    "ANSI_X3.4-1968": "ascii",
    "ISO-8859-15": "iso8859_15",
    "latin1": "latin_1",
    "windows-1251": "cp1251",
    "x-cp1251": "cp1251",
    "ibm850": "cp850",
    "koi8-r": "koi8_r",
    "gb2312": "gb18030",
    "x-gbk": "gb18030",
    "csGB2312": "gb18030",
    "big5": "cp950",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "Shift_JIS": "cp932",
    "windows-31j": "cp932",
    "x-euc-jp": "euc_jp",
    "iso-2022-jp": "iso2022_jp",
    "tis-620": "cp874",
    "iso-8859-8-i": "iso8859_8",
    "macintosh": "mac_roman",
}


@pytest.mark.parametrize("label", LABELS)
def test_labels(label: str) -> None:
    assert codecs_of(label)[0] == LABELS[label]


@pytest.mark.parametrize(
    "label",
    [
        "unicode_escape",
        "raw-unicode-escape",
        "base64",
        "zlib",
        "rot13",
        "idna",
        "punycode",
        "undefined",
        "mbcs",
    ],
)
def test_what_is_no_charset_is_no_label(label: str) -> None:
    assert codecs_of(label) == ()


@pytest.mark.parametrize("codec", sorted({codec for alias in aliases for codec in codecs_of(alias)}))
def test_every_codec_exists_has_a_name_and_reads_ascii(codec: str) -> None:
    "Alarm 1".encode(codec)
    assert re.fullmatch("[a-z0-9-]+", name_of(codec))
    if not re.match("utf_(16|32)", codec):
        assert b"Alarm 1".decode(codec) == "Alarm 1"


@pytest.mark.parametrize(
    ("label", "octets", "text"),
    [
        ("iso-2022-jp", "警報①".encode("iso2022_jp_2004"), "警報①"),
        ("iso-2022-jp", b"\x1b$B7YJs\x1b(B", "警報"),
        ("hz-gb-2312", "警报".encode("hz"), "警报"),
        ("utf-16", "Türe".encode("utf-16"), "Türe"),
        ("utf-7", b"T+APw-re", "Türe"),
        ("utf-8", b"\xef\xbb\xbfT\xc3\xbcre", "Türe"),
        ("big5", "警報".encode("big5"), "警報"),
        ("iso-8859-1", b"\x93a\x94", "“a”"),
    ],
)
def test_octets_in_their_charset(label: str, octets: bytes, text: str) -> None:
    read = decode(octets, label)
    assert (read.text, read.guessed) == (text, False)


def test_no_label() -> None:
    assert decode(b"plain", None)[:3] == ("plain", "us-ascii", False)
    assert decode("Türe".encode(), None)[:3] == ("Türe", "utf-8", True)
    assert decode(b"T\xfcre", None, "latin-1")[:3] == ("Türe", "iso-8859-1", True)
    assert decode("Дверь".encode("cp1251"), None, "windows-1251")[:3] == ("Дверь", "windows-1251", True)
    assert decode(b"\x1b[31mred\x1b[0m", None)[1:3] == ("us-ascii", False)


def test_utf_7_hands_no_lone_surrogate_through() -> None:
    assert decode(b"+2AA-", "utf-7")[:3] == ("+2AA-", "utf-8", True)


@given(
    st.binary(),
    st.sampled_from(sorted({*aliases, *LABELS})) | st.text() | st.none(),
    st.sampled_from(["latin-1", "koi8-r", "gb18030"]),
)
def test_any_octets_under_any_label(octets: bytes, label: str | None, fallback: str) -> None:
    read = decode(octets, label, fallback)
    assert read.text.encode("utf-8") or not read.text
    assert read.used
