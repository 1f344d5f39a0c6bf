"""The checking of passwords: in constant time, and throttled for a source that guesses."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from mailbell.clock import Clock
from mailbell.errors import StartupError
from mailbell.login.passwords import PLAIN, TOKEN, hash_password, hash_token, parse, verify
from mailbell.newest import Newest
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
        hashed = "" if hashed.startswith(TOKEN) else hashed
        known = hashed.removeprefix(PLAIN) if hashed.startswith(PLAIN) else ""
        if credentials.password is None:  # CRAM-MD5
            return matches(credentials, known or self._made_up) and bool(known)
        right = verify(credentials.password, self._nobody if known or not hashed else hashed)
        if known:
            right = verify(credentials.password, hashed)
        return right and bool(hashed) and bool(credentials.password)

    def stamp(self, user: str) -> str:
        """Changes when the user's password does; "" for a user that there is not."""
        self._follow()
        return self._hashes.get(user, "")

    def bearer(self, token: str) -> str | None:
        """The user whose token this is. Nothing is to be learnt from how long a look-up of a hash takes."""
        self._follow()
        hashed = hash_token(token)
        return next((user for user, each in self._hashes.items() if each == hashed), None)

    @property
    def _nobody(self) -> str:
        """A hash for a user that has none: one of the file, so that it takes as long as theirs."""
        slow = (each for each in self._hashes.values() if not each.startswith((PLAIN, TOKEN)))
        return next(slow, self._made_up)

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


class TooSoon(Exception):
    """A source that has failed to log in may not try again yet."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many wrong passwords; try again in {seconds:.0f} s")
        self.seconds = seconds


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
        self._sources: Newest[str, _Source] = Newest(_KNOWN)
        self._few = asyncio.Semaphore(AT_ONCE)

    @property
    def readable(self) -> bool:
        """Can CRAM-MD5 be offered?"""
        return self._users.readable

    async def check(self, ip: str, credentials: Credentials) -> bool:
        """Whether they are right; a source that guesses is answered later and later."""
        source = self._source(ip)
        async with source.turn:  # one after the other: many connections guess no faster than one
            await self._sleep(self._delay(source))
            return await self._judge(source, credentials)

    async def check_now(self, ip: str, credentials: Credentials) -> bool:
        """Whether they are right; TooSoon, instead of a later answer, for a source that guesses."""
        source = self._source(ip)
        async with source.turn:
            delay = self._delay(source)
            wait = source.failed_at + delay - self._clock.monotonic()
            if delay and wait > 0:
                raise TooSoon(wait)
            return await self._judge(source, credentials)

    def _delay(self, source: _Source) -> float:
        if self._clock.monotonic() - source.failed_at > FORGIVEN_AFTER:
            source.failures = 0
        return DELAYS[min(source.failures, len(DELAYS) - 1)]

    async def _judge(self, source: _Source, credentials: Credentials) -> bool:
        async with self._few:
            right = await asyncio.to_thread(self._users.check, credentials)
        source.failures = 0 if right else source.failures + 1
        source.failed_at = self._clock.monotonic()
        return right

    def _source(self, ip: str) -> _Source:
        source = self._sources[ip] = self._sources.get(ip) or _Source()
        return source
