"""The files of the page, from the package's own folder `static`."""

import gzip
import hashlib
import mimetypes
import re
from pathlib import Path
from typing import NamedTuple

from aiohttp import hdrs, web

from mailbell.web.routing import Route

FOLDER = Path(__file__).parent / "static"

_NAME = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*/)*[A-Za-z0-9_-][A-Za-z0-9_.-]*")
"""No part begins with a dot, so none leads out of the folder."""

_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".html": "text/html",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""What the machine's own table might not know, or know otherwise (Windows' registry does)."""


class _File(NamedTuple):
    content: bytes
    packed: bytes
    """Empty where gzip makes it no smaller."""
    tag: str


class Static:
    """Serves the files, which may change while it does."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._files: dict[str, tuple[int, _File]] = {}
        """With the time of each file's last change."""
        self._index: tuple[str, _File] | None = None

    def routes(self) -> list[Route]:
        """What is answered here."""
        return [
            Route("GET", "/", self.index, "text/html", open=True),
            Route("GET", "/static/~{version}/{name*}", self.kept, "application/octet-stream", open=True),
            Route("GET", "/static/{name*}", self.file, "application/octet-stream", open=True),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """The page. It names its files by addresses that change with them."""
        version = self._version()
        if self._index is None or self._index[0] != version:
            content = self._read("index.html").content
            self._index = version, _file(content.replace(b'"/static/', b'"/static/~%b/' % version.encode()))
        return self._answer(request, "index.html", self._index[1])

    async def file(self, request: web.Request, name: str) -> web.Response:
        """A file of the page."""
        return self._answer(request, name, self._read(name))

    async def kept(self, request: web.Request, version: str, name: str) -> web.Response:
        """A file of the page, which a browser that has it need not ask for again."""
        response = self._answer(request, name, self._read(name))
        if version == self._version():
            response.headers[hdrs.CACHE_CONTROL] = "public, max-age=31536000, immutable"
        return response

    def _version(self) -> str:
        """Of all the files together."""
        stamps = sorted((each.name, each.stat().st_mtime_ns) for each in self._folder.iterdir())
        return hashlib.sha256(repr(stamps).encode()).hexdigest()[:12]

    def _answer(self, request: web.Request, name: str, file: _File) -> web.Response:
        headers = {hdrs.ETAG: file.tag, hdrs.VARY: hdrs.ACCEPT_ENCODING}
        if file.tag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers=headers)
        content = file.content
        if file.packed and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            content, headers[hdrs.CONTENT_ENCODING] = file.packed, "gzip"
        return web.Response(body=content, headers=headers | {hdrs.CONTENT_TYPE: _type(name)})

    def _read(self, name: str) -> _File:
        path = self._folder / name
        if not _NAME.fullmatch(name) or not path.is_file():
            raise web.HTTPNotFound(text=f"the page has no file {name[:100]!a}")
        stamp = path.stat().st_mtime_ns
        known = self._files.get(name)
        if known is None or known[0] != stamp:
            known = self._files[name] = stamp, _file(path.read_bytes())
        return known[1]


def _file(content: bytes) -> _File:
    packed = gzip.compress(content, mtime=0)
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:16]}"'  # weak: the same for what is packed
    return _File(content, packed if len(packed) < len(content) else b"", tag)


def _type(name: str) -> str:
    kind = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
