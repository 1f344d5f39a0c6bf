"""The event that a test-run gets: the mail of the example on HSYCO's page."""

from functools import cache

from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.mail import Envelope, Mail, Source

_RAW = b"""\
From: My Name <me@example.com>\r
To: test@hsyco.com\r
Subject: This is a test\r
Date: Mon, 25 Jan 2016 18:24:49 +0100\r
Content-Type: text/plain; charset=us-ascii\r
\r
My mail body.\r
"""


@cache
def sample() -> Converted:
    """Return it, converted as any mail is."""
    mail = Mail(
        id="01527a01-9a28-7000-8000-000000000000",
        received_at=1453742689000,
        ioserver="smtp",
        source=Source(ip="192.0.2.1", port=25000, helo="example.com"),
        envelope=Envelope(mail_from="me@example.com", rcpt_to=("test@hsyco.com",)),
        raw=_RAW,
    )
    return convert(mail, ConvertOptions())
