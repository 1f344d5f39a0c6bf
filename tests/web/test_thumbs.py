"""Pictures made small: real ones, broken ones, and those made to do harm."""

import asyncio
import struct
import zlib
from email.message import EmailMessage
from io import BytesIO
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from mailbell.web import thumbnail, thumbs
from mailbell.web.thumbs import Thumbs, _scale
from tests.web.conftest import Api


def picture(form: str, size: tuple[int, int] = (2000, 1000), mode: str = "RGB", **options: object) -> bytes:
    made = BytesIO()
    Image.new(mode, size, "red").save(made, form, **options)
    return made.getvalue()


async def put(api: Api, content: bytes, kind: str = "image/jpeg") -> str:
    message = EmailMessage()
    message["From"], message["To"] = "cam@cams.lan", "a@house.lan"
    message.set_content("see")
    message.add_attachment(content, *kind.split("/"), filename="p.jpg")
    await api.put(message)
    detail = await api.get("/api/v1/message/latest")
    return f"/api/v1/message/{detail['ID']}/part/{detail['Attachments'][0]['PartID']}/thumb"


async def test_over_the_api(api: Api) -> None:
    path = await put(api, picture("JPEG"))
    async with api.http.get(api.url + path) as response:
        assert (response.status, response.content_type) == (200, "image/jpeg")
        small = Image.open(BytesIO(await response.read()))
        tag = response.headers["ETag"]
    assert small.size == (360, 180)
    async with api.http.get(api.url + path, headers={"If-None-Match": tag}) as response:
        assert response.status == 304
    assert (await api.ask("GET", await put(api, b"%PDF-1.7", "application/pdf")))[0] == 404
    assert (await api.ask("GET", await put(api, b"<svg onload='x()'/>", "image/svg+xml")))[0] == 404
    assert (await api.ask("GET", await put(api, b"\xff\xd8\xff\xe0 no more", "image/jpeg")))[0] == 404


async def test_without_pillow_the_picture_itself_where_that_is_small(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbs, "find_spec", lambda _: None)
    assert not Thumbs()._scales
    await put(api, picture("PNG"))
    item = await api.delivering._feed.item(1)
    request = type("Request", (), {"headers": {}})()
    response = await Thumbs().answer(request, item, item.event.attachments[0])
    assert (response.content_type, response.body) == ("image/png", picture("PNG"))
    monkeypatch.setattr(thumbs, "LARGE", 10)
    with pytest.raises(web.HTTPNotFound, match="Not Found"):
        await Thumbs().answer(request, item, item.event.attachments[0])


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
async def test_each_format(form: str) -> None:
    small = Image.open(BytesIO(await _scale(picture(form))))
    assert (small.format, small.size, small.mode) == ("JPEG", (360, 180), "RGB")


async def test_what_can_be_seen_through_is_white_behind() -> None:
    small = Image.open(BytesIO(await _scale(picture("PNG", (10, 10), "LA"))))
    assert small.size == (10, 10), "a small one is not made larger"


async def test_a_camera_that_was_held_upright() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    small = Image.open(BytesIO(await _scale(picture("JPEG", exif=turned))))
    assert small.size == (180, 360)


def bomb(width: int, height: int, octets: bytes = b"") -> bytes:
    """A PNG that says it is this large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", octets) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"GIF89a",
        bomb(100_000, 100_000),
        bomb(2**31 - 1, 2**31 - 1),
        bomb(9000, 9000, zlib.compress(b"\0" * 2**26)),
        picture("JPEG")[:100],
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ],
)
async def test_what_is_no_picture_or_too_large_a_one(octets: bytes) -> None:
    with pytest.raises(web.HTTPNotFound):
        await _scale(octets)


async def test_a_picture_that_takes_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[asyncio.subprocess.Process] = []
    real = asyncio.create_subprocess_exec

    async def noted(*command: str, **options: Any) -> asyncio.subprocess.Process:
        begun.append(await real(*command, **options))
        return begun[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    monkeypatch.setattr(thumbs, "LONGEST", 0.0)
    with pytest.raises(web.HTTPNotFound):
        await _scale(picture("JPEG"))
    assert begun[0].returncode == -9


def test_the_program_has_limits() -> None:
    assert thumbnail.MEMORY <= 2**30
    assert thumbnail.MOST_PIXELS * 4 < thumbnail.MEMORY
