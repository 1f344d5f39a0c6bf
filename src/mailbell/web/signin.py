"""Sign-in: who asks, where the settings name users. A cookie for the page, Basic and tokens for programs.

A session is known here by the hash of what its cookie holds. It ends at its time, with the password that it
was begun with, and when the server stops. A program's Basic credentials begin one too, so that not every
request costs a slow hash.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
import math
import secrets
from weakref import WeakValueDictionary

import msgspec
from aiohttp import web

from mailbell.clock import Clock
from mailbell.login.users import Authenticator, TooSoon, Users
from mailbell.newest import Newest
from mailbell.smtp.sasl import Credentials
from mailbell.web.routing import Route, reply
from mailbell.web.streams import STILL

MOST = 10_000
"""Sessions; the oldest go first."""

MAX_BODY = 4096
"""Octets of a sign-in: who has not signed in yet is read no further."""

logger = logging.getLogger("mailbell.web")


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who has signed in; whether there is a sign-in at all."""

    user: str | None
    sign_in: bool


class Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody signs in with."""

    user: str
    password: str


class Session(msgspec.Struct, frozen=True):
    """`stamp` changes with the user's password; `ends` is of the monotonic clock."""

    user: str
    stamp: str
    ends: float


class SignIn:
    """Tells who asks, and answers the page's sign-in."""

    def __init__(self, users: Users, clock: Clock, lasts: float, cookie: str, secure: bool) -> None:
        """`lasts`: seconds of a session. `cookie`: its name, one of its own for each server of a host."""
        self._users = users
        self._authenticator = Authenticator(users, clock)
        self._clock = clock
        self._lasts = lasts
        self._cookie = cookie
        self._secure = secure
        self._key = secrets.token_bytes(32)
        self._sessions: Newest[bytes, Session] = Newest(MOST)
        self._turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    def routes(self) -> list[Route]:
        """What is answered here."""
        return [
            Route("GET", "/api/v1/me", self.me, Me, open=True),
            Route("POST", "/api/v1/login", self.login, Me, Given, open=True),
            Route("POST", "/api/v1/logout", self.logout, Me, open=True),
        ]

    async def require(self, request: web.Request) -> None:
        """Raise 401 where nobody has signed in, 429 for one who guesses."""
        if await self._who(request) is None:
            raise _unauthorized(request)
        request[STILL] = lambda: self._still(request)

    def _still(self, request: web.Request) -> bool:
        """Whether one who was let in would be so now: his session may have ended."""
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self._users.bearer(given.strip()) is not None
        basic = f"basic {given}" if kind.lower() == "basic" else ""
        return self._known(basic or request.cookies.get(self._cookie, "")) is not None

    async def me(self, request: web.Request) -> web.Response:
        """Who has signed in; never refused."""
        try:
            user = await self._who(request)
        except web.HTTPTooManyRequests:
            user = None
        return reply(Me(user=user, sign_in=True))

    async def login(self, request: web.Request) -> web.Response:
        """Sign in: the answer brings the session's cookie."""
        try:
            given = msgspec.json.decode(await _little(request), type=Given)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise web.HTTPBadRequest(text=f"the body: {error}") from None
        if not await self._check(request, given.user, given.password):
            raise web.HTTPUnauthorized(text="wrong user or password")
        secret = secrets.token_urlsafe(32)
        self._begin(secret, given.user)
        response = reply(Me(user=given.user, sign_in=True))
        self._set_cookie(response, secret, int(self._lasts))
        return response

    async def logout(self, request: web.Request) -> web.Response:
        """Sign out: the session ends here too, not only in the browser."""
        self._sessions.pop(self._digest(request.cookies.get(self._cookie, "")), None)
        response = reply(Me(user=None, sign_in=True))
        self._set_cookie(response, "", 0)
        return response

    def _set_cookie(self, response: web.Response, value: str, age: int) -> None:
        response.set_cookie(
            self._cookie, value, max_age=age, path="/", httponly=True, samesite="Strict", secure=self._secure
        )

    async def _who(self, request: web.Request) -> str | None:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        match kind.lower():
            case "bearer":
                return self._users.bearer(given.strip())
            case "basic":
                return await self._basic(request, given)
            case _:
                return self._known(request.cookies.get(self._cookie, ""))

    async def _basic(self, request: web.Request, given: str) -> str | None:
        digest = self._digest(given)
        async with self._turns.setdefault(digest, asyncio.Lock()):  # ten requests at once cost one slow hash
            return await self._basic_in_turn(request, given)

    async def _basic_in_turn(self, request: web.Request, given: str) -> str | None:
        if (known := self._known(f"basic {given}")) is not None:
            return known
        try:
            user, colon, password = base64.b64decode(given, validate=True).decode().partition(":")
        except ValueError:  # no base64, no UTF-8
            return None
        if not colon or not await self._check(request, user, password):
            return None
        self._begin(f"basic {given}", user)
        return user

    async def _check(self, request: web.Request, user: str, password: str) -> bool:
        source = request.remote or ""
        try:
            right = await self._authenticator.check_now(source, Credentials("PLAIN", user, password))
        except TooSoon as error:
            again = {"Retry-After": str(math.ceil(error.seconds))}
            raise web.HTTPTooManyRequests(text=str(error), headers=again) from None
        if not right:  # some type their password where the name belongs
            name = ascii(user) if self._users.stamp(user) else "an unknown user"
            logger.warning("wrong password for %s from %s", name, source)
        return right

    def _begin(self, secret: str, user: str) -> None:
        session = Session(user, self._users.stamp(user), self._clock.monotonic() + self._lasts)
        self._sessions[self._digest(secret)] = session

    def _known(self, secret: str) -> str | None:
        """The user of a session that has not ended."""
        digest = self._digest(secret)
        session = self._sessions.get(digest)
        if session is None:
            return None
        if session.ends > self._clock.monotonic() and session.stamp == self._users.stamp(session.user):
            return session.user
        del self._sessions[digest]
        return None

    def _digest(self, secret: str) -> bytes:
        return hmac.digest(self._key, secret.encode(errors="replace"), hashlib.sha256)


async def nobody(_request: web.Request) -> web.Response:
    """Nobody has to sign in here."""
    return reply(Me(user=None, sign_in=False))


NO_USERS = [
    Route("GET", "/api/v1/me", nobody, Me, open=True),
    Route("POST", "/api/v1/login", nobody, Me, Given, open=True),
    Route("POST", "/api/v1/logout", nobody, Me, open=True),
]
"""The answers where the settings name no users."""


def _unauthorized(request: web.Request) -> web.HTTPUnauthorized:
    """A program is told how; a browser is not, for it would ask with a window of its own."""
    headers = {"WWW-Authenticate": 'Basic realm="mailbell", charset="UTF-8"'}
    text = "sign in first: at /api/v1/login, by HTTP Basic, or with a token (Authorization: Bearer …)"
    return web.HTTPUnauthorized(text=text, headers={} if "Sec-Fetch-Mode" in request.headers else headers)


async def _little(request: web.Request) -> bytes:
    body = b""
    while chunk := await request.content.read(MAX_BODY):
        body += chunk
        if len(body) > MAX_BODY:
            raise web.HTTPRequestEntityTooLarge(MAX_BODY, len(body), text="that is no sign-in")
    return body
