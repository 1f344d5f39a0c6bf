"""Mailpit's own published clients, unmodified, against a live server."""

import asyncio
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest
from mailpit.client.api import API

from mailbell.settings import MatchSettings, SmtpSettings, WebSettings
from tests.e2e.clients import run
from tests.tools import ROOT, free_port, need, need_module
from tests.web.conftest import Api, serving, settings


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Api]:
    """The real mail server, which mail is released to."""
    async with serving(settings(tmp_path / "office")) as office:
        yield office


@pytest.fixture
async def relaying(tmp_path: Path, office: Api) -> AsyncIterator[Api]:
    match = MatchSettings(subject=("nothing goes there by itself",))
    relay = SmtpSettings(host="127.0.0.1", port=office.smtp, tls="off", match=match)
    async with serving(settings(tmp_path / "data", relay=relay)) as api:
        yield api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(settings(tmp_path / "data")) as api:
        yield api


async def node(script: str, *arguments: str) -> None:
    sent = await run([need("node"), str(ROOT / "tests/e2e/node" / script), *arguments])
    assert sent.ok, sent.output
    assert sent.output.endswith("all as it should be\n")


async def test_javascript(relaying: Api, office: Api) -> None:
    need_module("mailpit-api")
    await node("mailpit-api.mjs", relaying.url)
    [released] = (await office.get("/api/v1/messages"))["messages"]
    assert released["Subject"] == "Welcome, Jané"
    assert [each["Address"] for each in released["Bcc"]] == ["office@example.com"]


async def test_javascript_with_a_password(tmp_path: Path, users_file: Path, office: Api) -> None:
    need_module("mailpit-api")
    relay = SmtpSettings(host="127.0.0.1", port=office.smtp, tls="off", match=MatchSettings(subject=("x",)))
    web = WebSettings(listen=f"127.0.0.1:{free_port()}", users=users_file)
    async with serving(settings(tmp_path / "data", web, relay)) as api:
        await node("mailpit-api.mjs", api.url, "modern", "sesame")


async def test_cypress(api: Api) -> None:
    need_module("cypress-mailpit")
    await node("cypress-mailpit.mjs", f"{api.url}/")


async def test_python(api: Api) -> None:
    message = EmailMessage()
    message["From"], message["To"] = "Shop <shop@example.com>", "Jane <jane@example.com>"
    message["Subject"], message["Date"] = "Welcome", "Wed, 25 Nov 2026 18:24:49 +0100"
    message["Message-ID"], message["Delivered-To"] = "<1@example.com>", "jane@example.com"
    message.set_content("Hello")
    message.add_attachment(b"a,b\n", "text", "csv", filename="order.csv")
    await api.put(message)
    await api.mail("Other")
    await asyncio.to_thread(_ask, API(api.url))
    assert await api.subjects() == []


def _ask(client: API) -> None:
    listing = client.get_messages()
    assert [each.subject for each in listing.messages] == ["Other", "Welcome"]
    assert (listing.total, listing.unread) == (2, 2)
    assert [each.subject for each in client.get_messages(limit=1, start=1).messages] == ["Welcome"]
    found = client.get_message(listing.messages[1].id)
    assert found.from_
    assert (found.from_.name, found.from_.address) == ("Shop", "shop@example.com")
    assert (found.message_id, found.text) == ("1@example.com", "Hello\n")
    [attached] = found.attachments
    assert client.get_message_attachment(found.id, attached.part_id) == "a,b\n"
    headers = client.get_message_headers(found.id)
    assert headers.message_id == ["<1@example.com>"]
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        client.get_message("none")
    client.delete_messages([])
