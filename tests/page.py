"""The mail of the example on HSYCO's page."""

from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.mail import Envelope, Mail, Source

RAW = b"""\
From: My Name <me@example.com>\r
To: test@hsyco.com\r
Subject: This is a test\r
Date: Mon, 25 Jan 2016 18:24:49 +0100\r
Content-Type: text/plain; charset=us-ascii\r
\r
My mail body.\r
"""


def page_mail() -> Converted:
    """It, converted as any mail is."""
    source, envelope = Source(ip="192.0.2.1", port=25000), Envelope("me@example.com", ("test@hsyco.com",))
    mail = Mail("01527a01-9a28-7000-8000-000000000000", 1453742689000, "smtp", source, envelope, RAW)
    return convert(mail, ConvertOptions())
