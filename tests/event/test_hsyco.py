"""The HSYCO form, byte for byte."""

import msgspec
import pytest

from tests.event.reading import converted

EXAMPLE = (
    b"From: My Name <me@example.com>\r\n"
    b"To: test@hsyco.com\r\n"
    b"Subject: This is a test\r\n"
    b"Date: Mon, 25 Jan 2016 18:24:49 +0100\r\n"
    b"Content-Type: text/plain; charset=us-ascii\r\n"
    b"\r\n"
    b"My mail body.\r\n"
)
ALTERNATIVE = (
    "Content-Type: multipart/alternative; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHällo\r\nzwei\r\n"
    "--b\r\nContent-Type: text/html\r\n\r\n<p>Hallo\r\n"
    "--b--\r\n"
).encode()


def value(raw: bytes | str, *, rawbody: bool = False) -> str:
    return converted(raw, rawbody=rawbody).value


def body(raw: bytes | str, *, rawbody: bool = False) -> list[str]:
    lines: list[str] = msgspec.json.decode(value(raw, rawbody=rawbody))["body"]
    return lines


def test_the_example_of_the_page_byte_for_byte() -> None:
    assert value(EXAMPLE) == (
        '{"from":"My Name <me@example.com>","to":"test@hsyco.com","subject":"This is a test",'
        '"date":"Mon, 25 Jan 2016 18:24:49 +0100","contenttype":"text/plain; charset=us-ascii",'
        '"returnpath":"","body":["My mail body."]}'
    )


def test_alternative_gives_the_plain_part() -> None:
    assert body(ALTERNATIVE) == ["Hällo", "zwei"]


def test_rawbody_gives_the_body_as_it_travelled() -> None:
    assert body(ALTERNATIVE, rawbody=True) == ALTERNATIVE.decode().split("\r\n\r\n", 1)[1].split("\r\n")[:-1]


def test_the_first_64_lines_count() -> None:
    assert body(b"\r\n" + b"line\r\n" * 64) == ["line"] * 64
    assert body(b"\r\n" + b"line\r\n" * 65) == ["line"] * 64


MIXED = """\
Content-Type: multipart/mixed; boundary=a

--a
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/html

<p>no
--b
Content-Type: text/plain

yes
--b--
--a
Content-Type: text/plain; name=log.txt
Content-Disposition: attachment

log
--a--
"""


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (MIXED, ["yes"]),
        ("Content-Type: text/html\n\n<p>Door\n<b>open</b>\n", ["<p>Door", "<b>open</b>"]),
        (
            "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/html\n\n<p>a\n--a--\n",
            ["<p>a"],
        ),
        ("\nno type\nat all\n", ["no type", "at all"]),
        (
            "Content-Transfer-Encoding: base64\nContent-Type: text/plain; charset=utf-8\n\nR3LDvMOfZQ0K\n",
            ["Grüße"],
        ),
        (
            "Content-Type: text/plain; charset=gb2312\n\n警报\n".replace("\n", "\r\n").encode("gb18030"),
            ["警报"],
        ),
        ("Content-Type: text/plain; charset=iso-2022-jp\n\n警報\n".encode("iso2022_jp"), ["警報"]),
        ("Content-Transfer-Encoding: quoted-printable\n\n5 =3D 5, =\nsoft\n", ["5 = 5, soft"]),
        ("Subject: x\n\n", []),
        ("Subject: x\n", []),
        ("\n\n", [""]),
        ("\na\n\nb", ["a", "", "b"]),
        (b"\r\na\rb\r\r\nc\0", ["a", "b", "c"]),
        ("Content-Type: text/plain; format=flowed\n\na \nb\n", ["a ", "b"]),
        ("Content-Type: image/png\nContent-Transfer-Encoding: base64\n\niVBORw0KGgoAAAAN\n", []),
        ("Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: image/png\n\nx\n--a--\n", []),
        ("Content-Type: application/json\n\n{}\n", ["{}"]),
    ],
)
def test_the_body(raw: str | bytes, lines: list[str]) -> None:
    assert body(raw) == lines


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (MIXED, MIXED.split("\n\n", 1)[1].split("\n")[:-1]),
        ("Content-Transfer-Encoding: base64\n\nR3LDvMOfZQ==\n", ["R3LDvMOfZQ=="]),
        ("Content-Type: text/html\n\n<p>Tür", ["<p>Tür"]),
        ("Content-Type: text/plain; charset=gbk\n\n警报\n".encode("gbk"), ["警报"]),
        ("Subject: x\n\n", []),
        ("\n" + "line\n" * 65, ["line"] * 64),
        (b"\r\na\0b\r\n", ["ab"]),
        ("Content-Type: text/plain; charset=utf-7\nContent-Transfer-Encoding: base64\n\n+AOQ-\n", ["+AOQ-"]),
    ],
)
def test_rawbody_is_what_travelled(raw: str | bytes, lines: list[str]) -> None:
    assert body(raw, rawbody=True) == lines


def test_repeated_and_odd_headers() -> None:
    raw = """\
X-Mailer: cam
Received: a
Return-Path: <bounce@x>
From: One <a@b>
received: b
X--Odd-Name: =?utf-8?Q?=C3=BC?=
Subject: a
 b
RECEIVED: c
Body: taken
"""
    assert value(raw) == (
        '{"from":"One <a@b>","to":"","subject":"a b","date":"","contenttype":"","returnpath":"<bounce@x>",'
        '"xmailer":"cam","received":["a","b","c"],"xoddname":"ü","body":[]}'
    )


def test_a_first_field_that_is_repeated_keeps_its_place() -> None:
    assert value("To: a@b\nTo: c@d\n\n").startswith('{"from":"","to":["a@b","c@d"],"subject":""')
