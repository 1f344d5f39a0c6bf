"""`part/{PartID}/thumb`: a picture made small.

With Pillow (`pip install "mailbell[thumbnails]"`) it is scaled, in a process of its own (thumbnail.py).
Without, a browser gets the picture itself and scales it as well as we could, unless that is large.
"""

import asyncio
import os
import sys
from importlib.util import find_spec

from aiohttp import hdrs, web

from mailbell.event.convert import Converted
from mailbell.event.schema import Attachment
from mailbell.newest import Newest

LARGE = 2 * 2**20
"""Octets up to which a picture is its own thumbnail, where nothing scales it."""

LONGEST = 20.0
AT_ONCE = 2
KEEP = 200
NEEDED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What Python may need of the environment to start; the rest, passwords maybe, is not for this process."""

SHOWN = ("image/jpeg", "image/png", "image/gif", "image/webp", "image/bmp")


class Thumbs:
    """Makes them, and keeps the last ones."""

    def __init__(self, *, scales: bool | None = None) -> None:
        """`scales`: with Pillow; else as it is installed."""
        self._scales = find_spec("PIL") is not None if scales is None else scales
        self._few = asyncio.Semaphore(AT_ONCE)
        self._kept: Newest[str, bytes] = Newest(KEEP)

    async def answer(self, request: web.Request, item: Converted, part: Attachment) -> web.Response:
        """The picture; 404 for what is none, or none that can be shown."""
        if part.detected_type not in SHOWN:
            raise web.HTTPNotFound(text="this part is no picture")
        tag = f'"{part.sha256[:32]}"'
        headers = {hdrs.ETAG: tag, hdrs.CACHE_CONTROL: "private, max-age=86400"}
        if tag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers=headers)
        if not self._scales:
            if part.size > LARGE:
                raise web.HTTPNotFound(text='too large to be shown small; pip install "mailbell[thumbnails]"')
            return web.Response(
                body=item.attachment(part.index), content_type=part.detected_type, headers=headers
            )
        return web.Response(body=await self._small(item, part), content_type="image/jpeg", headers=headers)

    async def _small(self, item: Converted, part: Attachment) -> bytes:
        if part.sha256 not in self._kept:
            async with self._few:
                self._kept[part.sha256] = await _scale(item.attachment(part.index))
        return self._kept[part.sha256]


async def _scale(picture: bytes) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        "mailbell.web.thumbnail",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in NEEDED if name in os.environ},
    )
    try:
        async with asyncio.timeout(LONGEST):
            made, _ = await process.communicate(picture)
    except TimeoutError:
        made = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0 or not made:
        raise web.HTTPNotFound(text="this picture can't be made small: it is damaged, or too large")
    return made
