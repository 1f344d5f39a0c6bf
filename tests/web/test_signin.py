"""Sign-in: the cookie, Basic, tokens; guesses, cross-site tries, and what ends a session."""

import asyncio
import base64
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.clock import SystemClock
from mailbell.login import passwords
from mailbell.login.passwords import put_token
from mailbell.login.users import FORGIVEN_AFTER, Users
from mailbell.settings import Duration, WebSettings
from mailbell.web import live, streams
from mailbell.web.signin import SignIn
from tests.tools import free_port
from tests.web.conftest import Api, serving, settings
from tests.web.reading import listening

RIGHT = {"user": "modern", "password": "sesame"}
WRONG = {"user": "modern", "password": "guess"}


@pytest.fixture
async def guarded(tmp_path: Path, users_file: Path) -> AsyncIterator[Api]:
    web = WebSettings(listen=f"127.0.0.1:{free_port()}", users=users_file)
    async with serving(settings(tmp_path / "data", web)) as api:
        yield api


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def status(api: Api, method: str = "GET", path: str = "/api/v1/messages", **headers: str) -> int:
    return (await api.ask(method, path, **headers))[0]


async def signed_in(api: Api) -> str:
    """Sign in without the client's cookie jar; the cookie."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        http.post(f"{api.url}/api/v1/login", json=RIGHT) as response,
    ):
        assert response.status == 200
        return response.headers["Set-Cookie"].partition(";")[0]


async def test_nobody_has_to_sign_in_where_there_are_no_users(api: Api) -> None:
    assert await api.get("/api/v1/me") == {"user": None, "sign_in": False}
    assert await status(api, "POST", "/api/v1/login") == 200


OPEN = {"/", "/livez", "/readyz", "/api/v1/me"}


async def test_without_signing_in_there_is_nothing_to_see(guarded: Api) -> None:
    described = (await serving_document(guarded))["paths"]
    for path, operations in described.items():
        concrete = path.replace("{id_}", "latest").replace("{number}", "1").replace("{name}", "x")
        concrete = concrete.replace("{tag}", "t")
        for method in operations:
            expected = {200, 503} if concrete in OPEN else {401}  # 503: not ready yet
            if concrete.startswith("/static") or "login" in path or "logout" in path:
                expected = {200, 400, 404}
            assert await status(guarded, method.upper(), concrete) in expected, (method, path)
    assert await status(guarded, path="/api/events", Upgrade="websocket", Connection="upgrade") == 401
    assert await guarded.get("/api/v1/me") == {"user": None, "sign_in": True}


async def serving_document(api: Api) -> Any:
    async with api.http.get(
        f"{api.url}/api/v1/openapi.json", headers={"Authorization": basic("modern", "sesame")}
    ) as response:
        return await response.json()


async def test_the_cookie(guarded: Api) -> None:
    async with guarded.http.post(f"{guarded.url}/api/v1/login", json=RIGHT) as response:
        assert await response.json() == {"user": "modern", "sign_in": True}
        name, *attributes = response.headers["Set-Cookie"].split("; ")
    assert name.startswith(f"mailbell-{guarded.url.rpartition(':')[2]}=")
    assert set(attributes) == {"HttpOnly", "Max-Age=604800", "Path=/", "SameSite=Strict"}
    cookie = name
    assert await status(guarded, Cookie=cookie) == 200
    assert await status(guarded, Cookie=cookie[:-1]) == 401
    async with guarded.http.get(f"{guarded.url}/api/v1/me", headers={"Cookie": cookie}) as response:
        assert await response.json() == {"user": "modern", "sign_in": True}


async def test_signing_out_ends_the_session_here_too(guarded: Api) -> None:
    cookie, other = await signed_in(guarded), await signed_in(guarded)
    assert cookie != other
    async with guarded.http.post(f"{guarded.url}/api/v1/logout", headers={"Cookie": cookie}) as response:
        assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert await status(guarded, Cookie=cookie) == 401
    assert await status(guarded, Cookie=other) == 200


async def test_a_session_ends_at_its_time_and_with_its_password(
    users_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = WebSettings(listen=f"127.0.0.1:{free_port()}", users=users_file, session=Duration(100))
    async with serving(settings(tmp_path / "data", web)) as api:
        old, cookie = await signed_in(api), await signed_in(api)
        changed = users_file.read_text().replace("modern:", "former:")
        before = users_file.stat().st_mtime_ns
        users_file.write_text(changed)
        os.utime(users_file, ns=(before + 10**9, before + 10**9))
        assert await status(api, Cookie=cookie) == 401
        users_file.write_text(changed.replace("former:", "modern:"))
        os.utime(users_file, ns=(before + 2 * 10**9, before + 2 * 10**9))
        assert await status(api, Cookie=cookie) == 401, "what has ended does not begin again"
        assert await status(api, Cookie=old) == 200
        monkeypatch.setattr(api.app.clock, "monotonic", lambda: SystemClock().monotonic() + 101)
        assert await status(api, Cookie=old) == 401


@pytest.mark.parametrize("user", ["modern", "web", "old"])
async def test_basic_for_programs(guarded: Api, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await status(guarded, Authorization=basic(user, "sesame")) == 200
    monkeypatch.setattr(
        "mailbell.login.users.verify", lambda *_: pytest.fail("a slow hash for every request")
    )
    assert await status(guarded, Authorization=basic(user, "sesame")) == 200


async def test_ten_requests_at_once_cost_one_slow_hash(guarded: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counting(password: str, hashed: str) -> bool:
        made.append(hashed)
        return passwords.verify(password, hashed)

    monkeypatch.setattr("mailbell.login.users.verify", counting)
    codes = await asyncio.gather(
        *(status(guarded, Authorization=basic("modern", "sesame")) for _ in range(10))
    )
    assert codes == [200] * 10
    assert len(made) == 1


async def test_guesses_at_once_are_one_guess(guarded: Api) -> None:
    tries = [guarded.ask("POST", "/api/v1/login", WRONG) for _ in range(10)]
    codes = [code for code, _ in await asyncio.gather(*tries)]
    assert sorted(codes) == [401] + [429] * 9


@pytest.mark.parametrize(
    "given_",
    ["Basic", "Basic ", "Basic é", "Basic ====", "Basic bm8=", "Basic //79", "Digest x", "Bearer"],
)
async def test_what_makes_no_sense_is_nobody(guarded: Api, given_: str) -> None:
    assert await status(guarded, Authorization=given_) == 401


async def test_tokens(guarded: Api, users_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = put_token(users_file, "build")
    os.utime(users_file, ns=(2 * 10**18, 2 * 10**18))
    assert token not in users_file.read_text()
    assert await status(guarded, Authorization=f"Bearer {token}") == 200
    assert await status(guarded, Authorization=f"bearer {token}") == 200
    for wrong in (token[:-1], token + "x", "", "build"):
        assert await status(guarded, Authorization=f"Bearer {wrong}") == 401
    assert await status(guarded, Authorization=basic("build", token)) == 401, "it is no password"
    assert await status(guarded, "POST", "/api/v1/login") == 400
    passwords.remove(users_file, "build")
    os.utime(users_file, ns=(3 * 10**18, 3 * 10**18))
    assert await status(guarded, Authorization=f"Bearer {token}") == 401
    assert token not in caplog.text


async def test_who_guesses_is_told_to_wait(guarded: Api, caplog: pytest.LogCaptureFixture) -> None:
    codes = [(await guarded.ask("POST", "/api/v1/login", WRONG))[0] for _ in range(3)]
    assert codes == [401, 429, 429]
    async with guarded.http.post(f"{guarded.url}/api/v1/login", json=RIGHT) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "1")
        assert "Set-Cookie" not in response.headers
    assert await status(guarded, Authorization=basic("modern", "guess")) == 429, "there too"
    async with guarded.http.get(
        f"{guarded.url}/api/v1/me", headers={"Authorization": basic("modern", "guess")}
    ) as response:
        assert await response.json() == {"user": None, "sign_in": True}
    clock = guarded.app.clock
    now = clock.monotonic
    clock.monotonic = lambda: now() + FORGIVEN_AFTER  # type: ignore[method-assign]
    assert (await guarded.ask("POST", "/api/v1/login", RIGHT))[0] == 200
    assert "wrong password for 'modern' from 127.0.0.1" in caplog.text
    for secret in ("guess", "sesame"):
        assert secret not in caplog.text


async def test_what_is_no_user_is_not_logged(guarded: Api, caplog: pytest.LogCaptureFixture) -> None:
    """Some type their password where the name belongs."""
    await guarded.ask("POST", "/api/v1/login", {"user": "sesame\n+ forged", "password": ""})
    assert "wrong password for an unknown user" in caplog.text
    assert "sesame" not in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        {"user": 1, "password": "x"},
        {"user": "x"},
        RIGHT | {"admin": True},
        b'{"user":"\xff"}',
    ],
)
async def test_a_sign_in_that_is_none(guarded: Api, body: object) -> None:
    assert (await guarded.ask("POST", "/api/v1/login", body))[0] == 400


async def test_a_stranger_is_not_read_for_long(guarded: Api) -> None:
    assert (await guarded.ask("POST", "/api/v1/login", b"x" * 5000))[0] == 413

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000

    with pytest.raises(aiohttp.ClientError):
        async with guarded.http.post(f"{guarded.url}/api/v1/login", data=endless()) as response:
            assert response.status == 413
            raise aiohttp.ClientError


async def test_another_sites_page_signs_nobody_in(guarded: Api) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        for path in ("login", "logout"):
            async with guarded.http.post(
                f"{guarded.url}/api/v1/{path}", json=RIGHT, headers=headers
            ) as response:
                assert response.status == 403
                assert "Set-Cookie" not in response.headers


async def test_only_programs_are_told_of_basic(guarded: Api) -> None:
    """A browser would ask with a window of its own."""
    async with guarded.http.get(f"{guarded.url}/api/v1/messages") as response:
        assert response.headers["WWW-Authenticate"].startswith("Basic")
    async with guarded.http.get(
        f"{guarded.url}/api/v1/messages", headers={"Sec-Fetch-Mode": "cors"}
    ) as response:
        assert "WWW-Authenticate" not in response.headers


async def test_who_signs_out_hears_no_more(guarded: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PULSE", 0.1)
    monkeypatch.setattr(live, "PULSE", 0.1)
    cookie = await signed_in(guarded)
    async with (
        aiohttp.ClientSession(headers={"Cookie": cookie}) as http,
        listening(http, f"{guarded.url}/api/v1/events") as events,
        http.ws_connect(f"{guarded.url}/api/events") as socket,
    ):
        await guarded.mail("one")
        assert (await anext(events)).data["subject"] == "one"
        assert (await socket.receive_json())["Type"] == "new"
        async with http.post(f"{guarded.url}/api/v1/logout") as response:
            assert response.status == 200
        await guarded.mail("two")
        async with asyncio.timeout(10):
            assert [each async for each in events] == []
            while (await socket.receive()).type == aiohttp.WSMsgType.TEXT:
                pass


async def test_https_with_a_certificate_of_our_own(tmp_path: Path, users_file: Path) -> None:
    web = WebSettings(listen=f"127.0.0.1:{free_port()}", users=users_file, tls=True)
    async with serving(settings(tmp_path / "data", web)) as api:
        assert api.url.startswith("https://")
        connector = aiohttp.TCPConnector(ssl=False)
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            http.post(f"{api.url}/api/v1/login", json=RIGHT, headers={"Origin": api.url}) as response,
        ):
            assert response.status == 200
            assert "Secure" in response.headers["Set-Cookie"]


@given(st.text(max_size=40), st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3))
def test_whatever_the_authorization_and_the_cookies(given_: str, cookies: dict[str, str]) -> None:
    sign_in = SignIn(USERS, SystemClock(), 100.0, "mailbell-1", secure=False)

    request = SimpleNamespace(
        headers={"Authorization": given_}, cookies=cookies | {"mailbell-1": given_}, remote="10.0.0.1"
    )
    assert asyncio.run(sign_in._who(request)) is None  # type: ignore[arg-type]


class NoUsers(Users):
    def __init__(self) -> None:
        self._hashes = {}

    def _follow(self) -> None:
        pass

    def check(self, credentials: object) -> bool:
        return False


USERS = NoUsers()
