"""Header sections, folding, encoded-words, parameters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.event.defects import Defects
from mailbell.event.header import MAX_FIELDS, Reader, split


def fields(raw: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    section = split(raw, 0, len(raw), Defects())
    return [(field.name, field.value) for field in section.fields], raw[section.body :]


def reader(label: str | None = None, fallback: str = "latin-1") -> Reader:
    return Reader(label, fallback, Defects())


@pytest.mark.parametrize(
    ("raw", "expected", "body"),
    [
        (b"To: a\r\nX-B:\r\n\r\nbody", [("To", b" a\r"), ("X-B", b"\r")], b"body"),
        (b"To: a\nSubject : b\n\nbody", [("To", b" a"), ("Subject", b" b")], b"body"),
        (b"To: a\r\n b\r\n\tc\r\n\r\n", [("To", b" a\r\n b\r\n\tc\r")], b""),
        (b"To: a", [("To", b" a")], b""),
        (b"To: a\r\r\n\r\r\nbody", [("To", b" a\r\r")], b"body"),
        (b"To: a\n \nbody", [("To", b" a\n ")], b"body"),
        (b"\r\nbody", [], b"body"),
        (b"body", [], b"body"),
        (b"12:30 alarm\nroom 1", [], b"12:30 alarm\nroom 1"),
        (b"Alarm: door\nroom 1", [], b"Alarm: door\nroom 1"),
        (b">From a\nTo: a\n\n", [("To", b" a")], b""),
        (b" To: a\n\n", [("To", b" a")], b""),
        (
            b"To: a\nunfolded\nmore\nSubject: x\n\n",
            [("To", b" a\n unfolded\nmore\n"), ("Subject", b" x")],
            b"",
        ),
        (b"To: a\n--b\nContent-Type: x\n\n", [("To", b" a")], b"--b\nContent-Type: x\n\n"),
    ],
)
def test_sections(raw: bytes, expected: list[tuple[str, bytes]], body: bytes) -> None:
    assert fields(raw) == (expected, body)


def test_a_header_without_end_is_cut() -> None:
    defects = Defects()
    raw = b"X-A: b\r\n" * (MAX_FIELDS + 5)
    assert len(split(raw, 0, len(raw), defects).fields) == MAX_FIELDS
    assert defects.all() == ("header too long: its end is read as body",)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (b" a\r\n b\r", "a b"),
        (b" a\r\n\t  b", "a b"),
        (b" a  b ", "a  b"),
        (b" a\0\x01b\x7f", "a b"),
        (b" a\rb", "a b"),
        ("Grüße".encode(), "Grüße"),
        ("Дверь".encode("koi8-r"), "Дверь"),
        ("警報".encode("iso2022_jp"), "警報"),
        (b" =?utf-8?Q?a?=", "=?utf-8?Q?a?="),
    ],
)
def test_one_line(value: bytes, line: str) -> None:
    assert reader("koi8-r").line(value) == line


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("=?utf-8?Q?a?= b =?utf-8?Q?c?=", "a b c"),
        ("=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab"),
        ("a=?utf-8?Q?b?=c", "abc"),
        ("(=?utf-8?Q?b?=)", "(b)"),
        ("=?utf-8*de?Q?T=C3=BCr?=", "Tür"),
        ("=?UTF-8?b?VMO8cg==?=", "Tür"),
        ("=?utf-8?B?VMO8?= =?utf-8?B?cg?=", "Tür"),
        ("=?utf-8? Q?a_b?=", "a b"),
        ("=?gb2312?B?vq+xqA==?=", "警报"),
        ("=?iso-2022-jp?B?GyRCN1lKcxsoQg==?=", "警報"),
        ("=?utf-8?Q?=E9?=", "é"),
        ("=?utf-8?Q?a=00=0Ab?=", "a b"),
        ("=?utf-8?Q??=", ""),
        ("=?utf-8?Q?a", "=?utf-8?Q?a"),
        ("=?utf-8?Q?what?_yes?=", "what? yes"),
        ("=?=?utf-8?Q?a?=", "=?a"),
        ("5 =? 6 ?= 7", "5 =? 6 ?= 7"),
        ("=?unicode_escape?Q?=5Cud800?=", r"\ud800"),
    ],
)
def test_encoded_words(line: str, text: str) -> None:
    assert reader().words(line) == text


def test_too_many_encoded_words_stay_as_they_are() -> None:
    defects = Defects()
    words = Reader(None, "latin-1", defects).words("=?utf-8?Q?a?= x " * 5000)
    assert words.startswith("a x a x ")
    assert words.endswith("=?utf-8?Q?a?= x")
    assert defects.all() == ("too many encoded-words: the rest kept as they are",)


@pytest.mark.parametrize(
    ("line", "kind", "parameters"),
    [
        ("text/plain; charset=utf-8", "text/plain", {"charset": "utf-8"}),
        ('Text/Plain; Charset="utf-8"; x=', "text/plain", {"charset": "utf-8", "x": ""}),
        ("text/plain charset=utf-8", "text/plain", {"charset": "utf-8"}),
        ("text/plain, charset=utf-8", "text/plain", {"charset": "utf-8"}),
        ("; charset=utf-8", "", {"charset": "utf-8"}),
        ('filename="a.b"', "", {"filename": "a.b"}),
        ("x; a=b c; d=e", "x", {"a": "b c", "d": "e"}),
        ('x; a="b; c"; d=e', "x", {"a": "b; c", "d": "e"}),
        (r'x; a="C:\dir\\b\"c"', "x", {"a": r'C:\dir\b"c'}),
        ('x; a="never closed; d=e', "x", {"a": "never closed; d=e"}),
        ("x; a=1; a=2", "x", {"a": "1"}),
        ("x; name*", "x", {}),
        ("x; name*=", "x", {"name": ""}),
        ("x; name*=utf-8''T%C3%BCr", "x", {"name": "Tür"}),
        ("x; name*=T%FCr", "x", {"name": "Tür"}),
        ("x; name*1=b; name*0=a; name*2*=%63", "x", {"name": "abc"}),
        ("x; name*0*=iso-8859-1'de'T%FC; name*1=r", "x", {"name": "Tür"}),
        ("x; name=plain; name*=utf-8''star", "x", {"name": "star"}),
        ("x; *=1; **=2; a*b=3", "x", {"*": "1", "**": "2", "a*b": "3"}),
        ("", "", {}),
    ],
)
def test_parameters(line: str, kind: str, parameters: dict[str, str]) -> None:
    assert reader().parameters(line) == (kind, parameters)


@given(st.binary(), st.binary())
def test_any_octets_are_header_or_body(before: bytes, after: bytes) -> None:
    raw = before + b"\nTo: a\n\n" + after
    section = split(raw, 0, len(raw), Defects())
    assert 0 <= section.body <= len(raw)
    for field in section.fields:
        line = reader().words(reader().line(field.value))
        assert not set(line) & set(map(chr, [*range(32), 127]))


@given(st.text())
def test_any_line_has_parameters(text: str) -> None:
    line = reader().line(text.encode())
    kind, found = reader().parameters(line)
    assert "\0" not in kind
    assert not {"\0", "\n"} & set("".join(found.values()))
