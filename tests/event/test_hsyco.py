"""The HSYCO form, byte for byte."""

import msgspec

from mailbell.event.convert import ConvertOptions, convert
from mailbell.mail import Envelope, Mail, Source

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


def value(raw: bytes, *, rawbody: bool = False) -> str:
    mail = Mail("id", 1453742689582, "smtp", Source("127.0.0.1", 1), Envelope("", ()), raw)
    return convert(mail, ConvertOptions(rawbody=rawbody)).value


def body(raw: bytes, *, rawbody: bool = False) -> list[str]:
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
