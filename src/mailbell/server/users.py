"""The users file, and the checking of passwords in constant time, throttled.

A line is `name:hash`: scrypt, as `mailbell user add` writes it; bcrypt, as htpasswd does; or
`{PLAIN}password`, for devices that know nothing but CRAM-MD5, which needs readable passwords (RFC 2195).
"""

import asyncio
import base64
import hashlib
import hmac
import logging
import os
import secrets
from collections import OrderedDict
from pathlib import Path

from mailbell.clock import Clock
from mailbell.errors import StartupError
from mailbell.smtp.sasl import Credentials, matches

PLAIN = "{PLAIN}"

N, R, P = 2**14, 8, 1
"""scrypt's cost: about 40 ms and 16 MiB, on purpose."""

DELAYS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before the answer after so many failures of one source; the last one repeats."""

FORGIVEN_AFTER = 600.0
_KNOWN = 4096
_KINDS = ("$scrypt$", "$2y$", "$2b$", "$2a$", PLAIN)

logger = logging.getLogger("mailbell.smtp")


def hash_password(password: str) -> str:
    """A hash for the users file: `$scrypt$n$r$p$salt$key`."""
    salt = secrets.token_bytes(16)
    return f"$scrypt${N}${R}${P}${_text(salt)}${_text(_scrypt(password, salt, N, R, P))}"


def verify(password: str, hashed: str) -> bool:
    """Whether the hash was made of this password."""
    if hashed.startswith(PLAIN):
        return hmac.compare_digest(password.encode(), hashed.removeprefix(PLAIN).encode())
    if hashed.startswith("$scrypt$"):
        _, _, n, r, p, salt, key = hashed.split("$")
        found = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
        return hmac.compare_digest(found, base64.b64decode(key))
    import bcrypt

    # htpasswd -B writes $2y$, which is the same algorithm; bcrypt sees 72 octets and now refuses longer ones
    return bool(bcrypt.checkpw(password.encode()[:72], hashed.replace("$2y$", "$2b$", 1).encode()))


class Users:
    """The users file, read again when it changes. Without one nobody is let in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: int | None = None
        self._hashes: dict[str, str] = {}
        self._nobody = hash_password(secrets.token_hex(16))
        self._load()

    @property
    def readable(self) -> bool:
        """Can CRAM-MD5 be offered?"""
        return any(hashed.startswith(PLAIN) for hashed in self._hashes.values())

    def check(self, credentials: Credentials) -> bool:
        """Whether they are right; an empty password never is. A user that does not exist takes as long."""
        self._load()
        hashed = self._hashes.get(credentials.user)
        if credentials.password is None:
            password = (hashed or "").removeprefix(PLAIN) if (hashed or "").startswith(PLAIN) else ""
            return matches(credentials, password) and bool(password)
        right = verify(credentials.password, hashed or self._nobody)
        return right and hashed is not None and bool(credentials.password)

    def _load(self) -> None:
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp != self._stamp:
                self._hashes = parse(self._path)
                self._stamp = stamp
        except (OSError, StartupError) as error:
            if self._stamp is None:
                raise StartupError(f"{self._path}: {error}; `mailbell user add` makes it") from error
            logger.error("users file not read again, the last one stays in use: %s", error)


def parse(path: Path) -> dict[str, str]:
    """Read a users file. StartupError names the line that can't be used, not its content."""
    users = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, separator, hashed = line.strip().partition(":")
        if not separator or not hashed.startswith(_KINDS):
            raise StartupError(f"{path}:{number}: expected name:hash, the hash scrypt or bcrypt")
        users[name] = hashed
    return users


def write(path: Path, users: dict[str, str]) -> None:
    """Write a users file, whole or not at all, readable by its owner alone."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name}:{hashed}\n" for name, hashed in users.items())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class Authenticator:
    """Says whether credentials are right, later and later to a source that guesses."""

    def __init__(self, users: Users, clock: Clock) -> None:
        self._users = users
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._one_at_a_time = asyncio.Semaphore(2)

    @property
    def readable(self) -> bool:
        """Can CRAM-MD5 be offered?"""
        return self._users.readable

    async def check(self, ip: str, credentials: Credentials) -> bool:
        """Whether they are right."""
        failures = self._count(ip)
        await asyncio.sleep(DELAYS[min(failures, len(DELAYS) - 1)])
        async with self._one_at_a_time:  # scrypt costs memory and processor: not a hundred of them at once
            right = await asyncio.to_thread(self._users.check, credentials)
        if right:
            self._failures.pop(ip, None)
        else:
            self._failures[ip] = (failures + 1, self._clock.monotonic())
            self._failures.move_to_end(ip)
            while len(self._failures) > _KNOWN:
                self._failures.popitem(last=False)
        return right

    def _count(self, ip: str) -> int:
        failures, last = self._failures.get(ip, (0, 0.0))
        return failures if self._clock.monotonic() - last < FORGIVEN_AFTER else 0


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=64 * 2**20, dklen=32)


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
