"""Authentication: PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login) and CRAM-MD5 (RFC 2195).

A mechanism is a generator: it yields what the server says, is sent what the client answers, both without
base64, and returns `Credentials`, or None where the client made no sense. Whether they are right is the
shell's to say.
"""

import binascii
import hmac
from collections.abc import Callable, Generator

import msgspec

from mailbell.smtp.grammar import text


class Credentials(msgspec.Struct, frozen=True):
    """The client has authenticated; answer with `credentials_checked(accepted)`.

    For CRAM-MD5 (RFC 2195) `challenge` and `digest` are given and `password` is None.
    """

    mechanism: str
    user: str
    password: str | None
    challenge: bytes | None = None
    digest: str | None = None


Exchange = Generator[bytes, bytes, Credentials | None]
Challenge = Callable[[], bytes]
"""Makes a challenge that never comes twice, such as `<1896.697170952@postoffice.reston.mci.net>`."""


def plain() -> Exchange:
    """RFC 4616: `[authzid] NUL authcid NUL password`; some devices leave out the first, or end with a NUL."""
    message = yield b""
    parts = message.split(b"\0")
    user, password = (*parts[len(parts) > 2 :], b"")[:2]
    return Credentials("PLAIN", text(user), text(password))


def login() -> Exchange:
    """Two prompts; devices compare them octet for octet, so they are exactly these."""
    user = yield b"Username:"
    password = yield b"Password:"
    return Credentials("LOGIN", text(user), text(password))


def cram_md5(challenge: bytes) -> Exchange:
    """RFC 2195: the client answers `user SP hex(HMAC-MD5(password, challenge))`."""
    response = yield challenge
    user, blank, digest = response.rpartition(b" ")
    if not blank:
        return None
    return Credentials("CRAM-MD5", text(user), None, challenge, text(digest))


def mechanisms(challenge: Challenge | None) -> tuple[str, ...]:
    """What is offered: CRAM-MD5 only where the shell makes challenges, for it needs readable passwords."""
    return ("PLAIN", "LOGIN", "CRAM-MD5") if challenge else ("PLAIN", "LOGIN")


def start(mechanism: bytes, challenge: Challenge | None) -> Exchange | None:
    """Begin an exchange, in any case of letters; None where the mechanism is not offered."""
    name = mechanism.upper()
    if name == b"PLAIN":
        return plain()
    if name == b"LOGIN":
        return login()
    return cram_md5(challenge()) if name == b"CRAM-MD5" and challenge else None


def matches(credentials: Credentials, password: str) -> bool:
    """Whether a CRAM-MD5 digest was made with this password; in constant time."""
    expected = hmac.new(password.encode(), credentials.challenge or b"", "md5").hexdigest()
    return hmac.compare_digest(expected.encode(), (credentials.digest or "").lower().encode())


def decode(line: bytes) -> bytes | None:
    """Undo base64, padded or not, `=` for nothing (RFC 4954 §4); None where it is not base64."""
    line = line.strip().rstrip(b"=")
    try:
        return binascii.a2b_base64(line + b"=" * (-len(line) % 4), strict_mode=True)
    except binascii.Error:
        return None


def encode(challenge: bytes) -> str:
    """Base64, for a 334 reply."""
    return binascii.b2a_base64(challenge, newline=False).decode()
