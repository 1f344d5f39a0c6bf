"""How long conversion takes, on one thread, beside the parsers that people use: `python -m bench convert`.

Ours gives the full form as JSON, hashes and detected types included; the peers parse, and hand out subject,
text and attachments, each in the way of its own documentation.
"""

import base64
import email
import email.policy
import random
import time
from collections.abc import Callable

import fast_mail_parser
import mailparser  # type: ignore[import-untyped]

from bench import results
from mailbell.event.convert import ConvertOptions, convert
from mailbell.mail import Envelope, Mail, Source

SECONDS = 1.0
OPTIONS = ConvertOptions()


def main() -> None:
    """Print a table: microseconds a message, best of many."""
    options = results.options("convert", __doc__).parse_args()
    found = {}
    names = ("mailbell", "policy.default", "mail-parser", "fast-mail-parser")
    readers: tuple[Callable[[bytes], object], ...] = (ours, stdlib, mail_parser, fast)
    print("µs a message".ljust(22), *(name.rjust(17) for name in names), "limit".rjust(9))
    for what, limit, raw in MESSAGES:
        times = [best(reader, raw) * 1e6 for reader in readers]
        print(what.ljust(22), *(f"{time:17,.0f}" for time in times), f"{limit:9,}", flush=True)
        found[f"event.{what}"] = times[:1]
    results.figures("convert", found, publish=options.publish)


def best(reader: Callable[[bytes], object], raw: bytes) -> float:
    """The shortest time in seconds out of what fits into a second."""
    times: list[float] = []
    stop = time.perf_counter() + SECONDS
    while not times or time.perf_counter() < stop:
        start = time.perf_counter()
        reader(raw)
        times.append(time.perf_counter() - start)
    return min(times)


def ours(raw: bytes) -> object:
    mail = Mail("id", 1453742689582, "smtp", Source("192.0.2.1", 40000), Envelope("a@b.c", ("d@e.f",)), raw)
    return convert(mail, OPTIONS).json


def stdlib(raw: bytes) -> object:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    body = message.get_body(("plain", "html"))
    attachments = [part.get_payload(decode=True) for part in message.iter_attachments()]
    return message["subject"], message["from"], body and body.get_content(), attachments


def mail_parser(raw: bytes) -> object:
    message = mailparser.parse_from_bytes(raw)
    return message.subject, message.from_, message.text_plain, message.attachments


def fast(raw: bytes) -> object:
    message = fast_mail_parser.parse_email(raw)
    return (
        message.subject,
        message.headers,
        message.text_plain,
        [part.content for part in message.attachments],
    )


def _header(content_type: str) -> bytes:
    return (
        "Received: from cam1 ([192.0.2.7]) by mail.example.com with ESMTP id 1;\r\n"
        "\tMon, 25 Jan 2016 18:24:49 +0100\r\n"
        "From: =?utf-8?Q?Kamera_K=C3=BCche?= <cam1@example.com>\r\n"
        'To: Alarm <alarm@example.com>, "Doe, John" <john@example.com>\r\n'
        "Subject: =?utf-8?B?QmV3ZWd1bmcgw6RuIGRlciBUw7xy?=\r\n"
        "Date: Mon, 25 Jan 2016 18:24:49 +0100\r\n"
        "Message-ID: <20160125172449.1@cam1.example.com>\r\n"
        "MIME-Version: 1.0\r\n"
        f"Content-Type: {content_type}\r\n"
    ).encode()


def _text(size: int) -> bytes:
    return (b"Motion detected on channel 1 at 2016-01-25 18:24:49.\r\n" * (size // 54 + 1))[:size]


def _base64(size: int) -> bytes:
    return base64.encodebytes(random.Random(1).randbytes(size)).replace(b"\n", b"\r\n")


def _plain() -> bytes:
    return _header("text/plain; charset=utf-8") + b"\r\n" + _text(512)


def _alternative() -> bytes:
    html = b"<html><body><h1>Alarm</h1>" + b"<p>Motion <b>detected</b> on channel 1.</p>\r\n" * 130
    return b"".join(
        (
            _header('multipart/alternative; boundary="=_b"'),
            b"\r\n--=_b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
            _text(4000),
            b"\r\n--=_b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n",
            html,
            b"</body></html>\r\n--=_b--\r\n",
        )
    )


def _picture(size: int) -> bytes:
    return b"".join(
        (
            _header('multipart/mixed; boundary="=_b"'),
            b"\r\n--=_b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
            _text(300),
            b"\r\n--=_b\r\nContent-Type: image/jpeg; name=snap.jpg\r\nContent-Transfer-Encoding: base64\r\n",
            b"Content-Disposition: attachment; filename=snap.jpg\r\n\r\n",
            _base64(size),
            b"--=_b--\r\n",
        )
    )


MESSAGES = (
    ("1 KB text", 150, _plain()),
    ("11 KB alternative", 300, _alternative()),
    ("300 KB JPEG", 2000, _picture(300_000)),
    ("25 MB attachment", 2000 * 25_000 // 300, _picture(25_000_000)),
)

if __name__ == "__main__":
    main()
