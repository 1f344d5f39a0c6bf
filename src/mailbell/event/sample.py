"""A mail of our own making: what the test-run of a script gets."""

import base64

from mailbell.mail import Envelope, Mail, Source

# The smallest JPEG start that type detection knows: a picture for scripts that look at attachments.
_PICTURE = base64.b64encode(bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9"))

_RAW = b"""\
From: Front door <camera1@cameras.example>\r
To: alarms@example.com\r
Subject: Motion detected\r
Date: Mon, 25 Jan 2016 18:24:49 +0100\r
Message-ID: <20160125182449.1@camera1.cameras.example>\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary="sample"\r
\r
--sample\r
Content-Type: text/plain; charset=utf-8\r
\r
Motion detected on channel 1.\r
This is a sample that mailbell made.\r
--sample\r
Content-Type: image/jpeg; name="snapshot.jpg"\r
Content-Disposition: attachment; filename="snapshot.jpg"\r
Content-Transfer-Encoding: base64\r
\r
%b\r
--sample--\r
"""


def sample() -> Mail:
    """A camera's mail with a text and a picture, from a documentation address (RFC 5737)."""
    return Mail(
        id="015279d1-0d2e-7000-8000-000000000000",
        received_at=1453742689582,
        ioserver="smtp",
        source=Source(ip="192.0.2.1", port=49152, helo="camera1"),
        envelope=Envelope("camera1@cameras.example", ("alarms@example.com",)),
        raw=_RAW % _PICTURE,
    )
