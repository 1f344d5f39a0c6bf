"""Messages for property, differential and fuzz tests: well-formed ones of every shape, and damage to them."""

import base64
import quopri
import random
from email.header import Header

BOUNDARIES = ("b", "=_b", "b1", "----=_Part_1", "x.y/z", "a b")
CHARSETS = ("us-ascii", "utf-8", "iso-8859-1", "gb18030", "iso-2022-jp", "koi8-r")
WORDS = ("Alarm", "Türe", "Дверь", "警報", "€ 5", "a b", "", "x" * 40, "=3D", "--z")
TYPES = ("image/jpeg", "application/pdf", "application/octet-stream", "text/csv")
# Pieces of octets that parsers stumble over, one a line; escapes as in Python.
SCRAPS = tuple(
    line.encode("latin-1").decode("unicode_escape").encode("latin-1")
    for line in r"""
\r\n
\n
\r
\0
\r\n\r\n
\r\n\x20
--
--b
--b--\r\n
=
=?
?=
=?utf-8?B?
=?gb2312?Q?=
"
<
>
(
,
;
:
\\
\xff
\xc3
\x1b$B
*0*=
%
Content-Type: multipart/mixed\r\n
boundary=b
boundary
charset=utf-7
charset=x
base64
format=flowed
message/rfc822
From\x20
<!--
<a href='
<meta charset=
<table><td>
</
&#0;
&#xD800;
""".strip().split("\n")
)


def make(rng: random.Random, boundaries: tuple[str, ...] = BOUNDARIES) -> bytes:
    """A well-formed message."""
    subject = Header(
        " ".join(rng.choices(WORDS, k=rng.randint(0, 6))), "utf-8", header_name="Subject"
    ).encode()
    name = Header(rng.choice(WORDS) or "n", "utf-8").encode()
    fields = [
        f"From: {name} <a@b.example>",
        "To: c@d.example, E <e@f.example>",
        f"Subject: {subject}",
        "Date: Mon, 25 Jan 2016 18:24:49 +0100",
        "Message-ID: <1@a>",
        "Received: from a\n\tby b; Mon, 25 Jan 2016 18:24:49 +0100",
    ]
    rng.shuffle(fields)
    head = "".join(field + "\n" for field in fields).replace("\n", "\r\n").encode()
    return head + _entity(rng, 0, rng.sample(boundaries, len(boundaries)))


def damage(rng: random.Random, raw: bytes) -> bytes:
    """The message after some accidents."""
    octets = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 3, 8, 30))):
        at = rng.randrange(len(octets) + 1)
        span = rng.choice((0, 0, 1, 1, 2, 10, 80))
        piece = rng.choice(SCRAPS) if rng.random() < 0.6 else rng.randbytes(rng.choice((0, 0, 1, 3)))
        if rng.random() < 0.1:
            other = rng.randrange(len(octets) + 1)
            piece = bytes(octets[other : other + rng.randrange(200)])
        octets[at : at + span] = piece
    return bytes(octets[: rng.randrange(len(octets) + 1)] if rng.random() < 0.1 else octets)


def _entity(rng: random.Random, depth: int, boundaries: list[str]) -> bytes:
    if depth < 3 and boundaries and rng.random() < 0.6 - depth * 0.15:
        return _multipart(rng, depth, boundaries)
    return _text(rng) if rng.random() < 0.6 else _file(rng)


def _multipart(rng: random.Random, depth: int, boundaries: list[str]) -> bytes:
    boundary = boundaries.pop()
    kind = rng.choice(("mixed", "alternative", "related"))
    parts = [_entity(rng, depth + 1, boundaries) for _ in range(rng.randint(1, 3))]
    line = b"--" + boundary.encode()
    preamble = rng.choice((b"", b"This is MIME.\r\n"))
    return b"".join(
        (
            f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n\r\n'.encode(),
            preamble,
            *(line + b"\r\n" + part + b"\r\n" for part in parts),
            line + b"--" + rng.choice((b"", b"\r\n", b"\r\nepilogue\r\n")),
        )
    )


def _text(rng: random.Random) -> bytes:
    words = rng.choices(WORDS, k=rng.randint(0, 12))
    html = rng.random() < 0.4
    text = "\r\n".join(f"<p>{word}</p>" if html else word for word in words)
    charset = rng.choice(CHARSETS)
    octets = text.encode(charset, "ignore")
    encoding, body = _wrapped(rng, octets)
    kind = "html" if html else "plain"
    return f"Content-Type: text/{kind}; charset={charset}\r\n{encoding}\r\n".encode() + body


def _file(rng: random.Random) -> bytes:
    octets = rng.choice((b"\xff\xd8\xff\xe0", b"%PDF-1.4\n", b"")) + rng.randbytes(rng.randrange(200))
    name = rng.choice(("a.jpg", "T=?utf-8?Q?=C3=BC?=r.pdf", "a b.bin"))
    body = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    head = (
        f'Content-Type: {rng.choice(TYPES)}; name="{name}"\r\n'
        f'Content-Disposition: {rng.choice(("attachment", "inline"))}; filename="{name}"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return head.encode() + body


def _wrapped(rng: random.Random, octets: bytes) -> tuple[str, bytes]:
    match rng.randrange(3):
        case 0:
            return "Content-Transfer-Encoding: base64\r\n", base64.encodebytes(octets).replace(b"\n", b"\r\n")
        case 1:
            encoded = quopri.encodestring(octets.replace(b"\r\n", b"\n"))
            return "Content-Transfer-Encoding: quoted-printable\r\n", encoded.replace(b"\n", b"\r\n")
        case _:
            return "", octets
