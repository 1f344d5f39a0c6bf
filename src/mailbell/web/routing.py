"""Which handler answers a request: a table of methods and paths.

Not aiohttp's router: clients of Mailpit's send paths with double slashes and slashes at the end, and errors
are plain text.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from aiohttp import web

Handler = Callable[..., Awaitable[web.StreamResponse]]
"""Called with the request and, by name, what stands in the places of the path's braces."""


class Route(NamedTuple):
    """GET answers HEAD too."""

    method: str
    path: str
    handler: Handler


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = [(route, _pattern(route.path)) for route in routes]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer; 404 for a path that there is not, 405 for a method that it does not have."""
        path = re.sub("/{2,}", "/", request.rel_url.raw_path)
        path = path.rstrip("/") or "/"
        method = "GET" if request.method == "HEAD" else request.method
        allowed = set()
        for route, pattern in self._routes:
            if found := pattern.fullmatch(path):
                if route.method == method:
                    return await route.handler(
                        request, **{k: unquote(v) for k, v in found.groupdict().items()}
                    )
                allowed.add(route.method)
        if allowed:
            raise web.HTTPMethodNotAllowed(request.method, allowed)
        raise web.HTTPNotFound(text=f"there is no {path[:200]} here")


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path.replace(".", r"\.")))
