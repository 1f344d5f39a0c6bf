"""Messages in, events out: what the tests of this room share."""

from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.event.schema import MailEvent
from mailbell.mail import Envelope, Mail, Source


def converted(raw: bytes | str, *, rawbody: bool = False, charset: str = "latin-1") -> Converted:
    """Convert a message; text stands for its UTF-8 octets, and its line feeds for CR LF."""
    octets = raw.replace("\n", "\r\n").encode() if isinstance(raw, str) else raw
    mail = Mail("id", 1453742689582, "smtp", Source("192.0.2.1", 49152), Envelope("", ()), octets)
    return convert(mail, ConvertOptions(rawbody=rawbody, charset=charset))


def event(raw: bytes | str, *, charset: str = "latin-1") -> MailEvent:
    """The full form of a message."""
    return converted(raw, charset=charset).event
