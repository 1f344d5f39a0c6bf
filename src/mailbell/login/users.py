"""The checking of passwords: in constant time, and throttled for a source that guesses."""

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path

from mailbell.clock import Clock
from mailbell.errors import StartupError
from mailbell.login.passwords import PLAIN, hash_password, parse, verify
from mailbell.smtp.sasl import Credentials, matches

DELAYS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before the answer after so many failures of one source; the last one repeats."""

FORGIVEN_AFTER = 600.0
AT_ONCE = 2
"""scrypt costs memory and processor: not a hundred of them at once."""

_KNOWN = 4096

Sleep = Callable[[float], Awaitable[object]]

logger = logging.getLogger("mailbell.smtp")


class Users:
    """The users file, read again when it changes. StartupError where it can't be read at first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = path.stat().st_mtime_ns if path.exists() else 0
        self._hashes = parse(path)
        self._complaint = ""
        self._made_up = hash_password(secrets.token_hex(16))

    @property
    def readable(self) -> bool:
        """Can CRAM-MD5 be offered?"""
        return any(hashed.startswith(PLAIN) for hashed in self._hashes.values())

    def check(self, credentials: Credentials) -> bool:
        """Whether they are right; an empty password never is. One hash is made, whoever the user is."""
        self._follow()
        hashed = self._hashes.get(credentials.user, "")
        known = hashed.removeprefix(PLAIN) if hashed.startswith(PLAIN) else ""
        if credentials.password is None:  # CRAM-MD5
            return matches(credentials, known or self._made_up) and bool(known)
        right = verify(credentials.password, self._nobody if known or not hashed else hashed)
        if known:
            right = verify(credentials.password, hashed)
        return right and bool(hashed) and bool(credentials.password)

    @property
    def _nobody(self) -> str:
        """A hash for a user that has none: one of the file, so that it takes as long as theirs."""
        return next((each for each in self._hashes.values() if not each.startswith(PLAIN)), self._made_up)

    def _follow(self) -> None:
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp != self._stamp:
                self._hashes = parse(self._path)
                self._stamp = stamp
                logger.info("%s: users read again", self._path)
            self._complaint = ""
        except (OSError, StartupError) as error:
            if str(error) != self._complaint:  # once, not at every login
                logger.error("users file not read again, the last one stays in use: %s", error)
            self._complaint = str(error)


class _Source:
    """What is known of an address that has failed to log in."""

    __slots__ = ("failed_at", "failures", "turn")

    def __init__(self) -> None:
        self.failures = 0
        self.failed_at = 0.0
        self.turn = asyncio.Lock()


class Authenticator:
    """Says whether credentials are right, later and later to a source that guesses."""

    def __init__(self, users: Users, clock: Clock, sleep: Sleep = asyncio.sleep) -> None:
        self._users = users
        self._clock = clock
        self._sleep = sleep
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self._few = asyncio.Semaphore(AT_ONCE)

    @property
    def readable(self) -> bool:
        """Can CRAM-MD5 be offered?"""
        return self._users.readable

    async def check(self, ip: str, credentials: Credentials) -> bool:
        """Whether they are right."""
        source = self._source(ip)
        async with source.turn:  # one after the other: many connections guess no faster than one
            if self._clock.monotonic() - source.failed_at > FORGIVEN_AFTER:
                source.failures = 0
            await self._sleep(DELAYS[min(source.failures, len(DELAYS) - 1)])
            async with self._few:
                right = await asyncio.to_thread(self._users.check, credentials)
            source.failures = 0 if right else source.failures + 1
            source.failed_at = self._clock.monotonic()
        return right

    def _source(self, ip: str) -> _Source:
        source = self._sources.setdefault(ip, _Source())
        self._sources.move_to_end(ip)
        if len(self._sources) > _KNOWN:
            self._sources.popitem(last=False)
        return source
