"""The files of the page, and names that are none."""

import asyncio
import gzip
import re
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from mailbell.web.routing import Router
from mailbell.web.static import FOLDER, Static
from tests.web.conftest import Api


@pytest.fixture
async def client(tmp_path: Path) -> TestClient[web.Request, web.Application]:
    (tmp_path / "page" / "js").mkdir(parents=True)
    (tmp_path / "page" / "index.html").write_text("<title>x</title>" * 100)
    (tmp_path / "page" / "js" / "a.js").write_text("let a")
    (tmp_path / "page" / ".hidden").write_text("x")
    (tmp_path / "secret").write_text("x")
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", Router(Static(tmp_path / "page").routes()).answer)
    return TestClient(TestServer(application))


async def test_files_are_served_with_their_type(client: TestClient[web.Request, web.Application]) -> None:
    async with client, client.get("/static/js/a.js") as response:
        assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert await response.text() == "let a"
        assert "Content-Encoding" not in response.headers, "gzip would make it no smaller"


async def test_what_the_browser_has_is_not_sent_again(
    client: TestClient[web.Request, web.Application], tmp_path: Path
) -> None:
    async with client:
        async with client.get("/", auto_decompress=False) as response:
            assert gzip.decompress(await response.read()).startswith(b"<title>")
            tag = response.headers["ETag"]
        async with client.get("/", headers={"If-None-Match": tag}) as response:
            assert (response.status, await response.read()) == (304, b"")
        (tmp_path / "page" / "index.html").write_text("changed")
        async with client.get("/", headers={"If-None-Match": tag}) as response:
            assert (response.status, await response.text()) == (200, "changed")


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "..%2fsecret",
        "%2e%2e/secret",
        "js/..%2f..%2fsecret",
        "js/%2e%2e/%2e%2e/secret",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        ".hidden",
        "js",
        "js/a.js%00.css",
        "js%5ca.js",
        "none.js",
    ],
)
async def test_no_name_leads_out_of_the_folder(
    client: TestClient[web.Request, web.Application], name: str
) -> None:
    async with client:
        reader, writer = await _raw(client, name)
        assert (await reader.readline()).split()[1] == b"404"
        writer.close()


async def _raw(
    client: TestClient[web.Request, web.Application], name: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Without a client that tidies the path up."""
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    writer.write(f"GET /static/{name} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    return reader, writer


@given(st.text(st.sampled_from("./\\%ab\0é-_"), max_size=12))
def test_whatever_the_name(name: str) -> None:
    static = Static(FOLDER)
    try:
        found = static._read(name)
    except web.HTTPNotFound:
        return
    assert found.content == (FOLDER / name).read_bytes()
    assert (FOLDER / name).resolve().is_relative_to(FOLDER.resolve())


async def test_a_file_is_kept_by_the_browser_until_the_page_changes(
    client: TestClient[web.Request, web.Application], tmp_path: Path
) -> None:
    index = tmp_path / "page" / "index.html"
    index.write_text('<script src="/static/js/a.js"></script>')

    async def address() -> str:
        async with client.get("/") as response:
            found = re.search('"(/static/~[0-9a-f]+/js/a.js)"', await response.text())
        assert found
        return found[1]

    async def policy(path: str) -> str:
        async with client.get(path) as response:
            assert await response.text() == "let a"
            return response.headers.get("Cache-Control", "")

    async with client:
        first = await address()
        assert "immutable" in await policy(first)
        index.write_text('<script src="/static/js/a.js"></script>!')
        assert await policy(first) == "", "a page of before has what there is, but does not keep it"
        assert await address() != first
        assert await policy("/static/~x/js/a.js") == ""


async def test_the_page_is_there(api: Api) -> None:
    status, text = await api.ask("GET", "/")
    assert status == 200
    assert "<title>mailbell</title>" in text
