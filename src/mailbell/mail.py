"""What the SMTP side knows of a mail: who sent it, to whom, from where, and its octets."""

import hashlib
import random

import msgspec

IMPORTED = "import"
"""In the place of an I/O server's ID: mail of an archive. Only sinks that ask for this ID get it."""


class Tls(msgspec.Struct, frozen=True):
    """The TLS connection that a mail came over, as OpenSSL names it: `TLSv1.3`, `TLS_AES_256_GCM_SHA384`."""

    version: str
    cipher: str


class Source(msgspec.Struct, frozen=True):
    """The client of an SMTP connection."""

    ip: str
    port: int
    helo: str = ""
    auth_user: str | None = None
    tls: Tls | None = None


class Envelope(msgspec.Struct, frozen=True):
    """RFC 5321 §2.3.1: the reverse-path (`""` for the null one) and the forward-paths, as given."""

    mail_from: str
    rcpt_to: tuple[str, ...]


class Mail(msgspec.Struct, frozen=True):
    """One message as it was received; everything else is derived from this.

    `id` is a UUIDv7, `received_at` milliseconds since the epoch, `raw` the content after dot-unstuffing,
    every octet as it travelled.
    """

    id: str
    received_at: int
    ioserver: str
    source: Source
    envelope: Envelope
    raw: bytes


def new_id(milliseconds: int) -> str:
    """Return a UUIDv7 (RFC 9562 §5.7) for this moment: sortable by time, unique by 74 random bits.

    Nothing rests on nobody guessing it, so the bits need not cost a system call.
    """
    return _uuid7(milliseconds, random.getrandbits(74))


def derived_id(milliseconds: int, content: bytes) -> str:
    """Return one whose bits are no random ones but a digest: the same each time that it is made."""
    return _uuid7(milliseconds, int.from_bytes(hashlib.sha256(content).digest()[:10]) >> 6)


def _uuid7(milliseconds: int, bits: int) -> str:
    value = (
        (milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | (bits >> 62) << 64 | 2 << 62 | bits & ((1 << 62) - 1)
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
