"""Other sites' pages, and names that are not ours."""

import ipaddress
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.errors import ListenError
from mailbell.settings import WebSettings
from mailbell.web.guard import Guard
from tests.tools import free_port
from tests.web.conftest import Api, serving, settings

OWN = socket.gethostname().lower()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8025", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("192.168.1.5:8025", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:8025", 403),
        ("localhost.evil.example", 403),
        ("[::1", 403),
        ("a@127.0.0.1@evil.example", 403),
    ],
)
async def test_dns_rebinding(api: Api, host: str, status: int) -> None:
    assert (await api.ask("GET", "/api/v1/messages", Host=host))[0] == status


async def test_names_that_the_settings_add(tmp_path: Path) -> None:
    web = WebSettings(listen=f"127.0.0.1:{free_port()}", hosts=("Mail.House.lan",))
    async with serving(settings(tmp_path, web)) as api:
        assert (await api.ask("GET", "/livez", Host="mail.house.lan:8025"))[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:1", "file://"])
async def test_changes_from_another_sites_page_are_refused(api: Api, origin: str) -> None:
    await api.mail()
    for method, path in (("DELETE", "messages"), ("PUT", "messages"), ("POST", "send"), ("PUT", "chaos")):
        assert (await api.ask(method, f"/api/v1/{path}", {"Read": True}, Origin=origin))[0] == 403
    upgrade = {"Upgrade": "websocket", "Connection": "upgrade"}
    assert (await api.ask("GET", "/api/events", Origin=origin, **upgrade))[0] == 403
    assert (await api.get("/api/v1/messages"))["unread"] == 1


async def test_changes_from_our_own_page(api: Api) -> None:
    status, _ = await api.ask("DELETE", "/api/v1/messages", Origin=api.url)
    assert status == 200
    assert (await api.ask("DELETE", "/api/v1/messages", Sec_Fetch_Site="cross-site"))[0] == 403


async def test_every_answer_carries_the_policy(api: Api) -> None:
    for path in ("/", "/nope", "/api/v1/messages"):
        async with api.http.get(api.url + path) as response:
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "Python" not in response.headers["Server"]


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.168.1.5"])
def test_an_open_address_needs_to_be_meant(host: str, users_file: Path) -> None:
    with pytest.raises(ValueError, match="insecure = true"):
        WebSettings(listen=f"{host}:8025")
    assert WebSettings(listen=f"{host}:8025", insecure=True)
    assert WebSettings(listen=f"{host}:8025", users=users_file)


async def test_a_port_that_is_taken_is_told(api: Api, tmp_path: Path) -> None:
    web = WebSettings(listen=api.url.removeprefix("http://"))
    with pytest.raises(ListenError, match="choose another with --web"):
        async with serving(settings(tmp_path / "2", web)):
            pass


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("kind", ["image", "script", "style", "iframe", "empty", "object"])
async def test_no_page_of_others_and_no_mail_embeds_us(api: Api, site: str, kind: str) -> None:
    """To look at a message marks it as read: an image in a mail must not do that."""
    await api.mail()
    for path in ("/api/v1/message/latest", "/api/v1/messages", "/view/latest.html", "/", "/static/x.js"):
        assert (await api.ask("GET", path, Sec_Fetch_Site=site, Sec_Fetch_Dest=kind))[0] == 403
    assert (await api.get("/api/v1/messages"))["unread"] == 1


async def test_links_to_us_work(api: Api) -> None:
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert (await api.ask("GET", "/", **followed))[0] == 200
    assert (await api.ask("POST", "/api/v1/send", {}, **followed))[0] == 403
    typed = {"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}
    assert (await api.ask("GET", "/api/v1/messages", **typed))[0] == 200


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0")))
def test_whatever_the_host(host: str) -> None:
    """Only names of ours and addresses, however they are written."""
    if Guard(["mail.lan"])._knows(host):
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        assert name in {"localhost", "mail.lan", OWN, f"{OWN}.local"} or ipaddress.ip_address(name)
