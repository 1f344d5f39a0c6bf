"""Which handler answers a request: a table of methods and paths, which the OpenAPI document is made of too.

Not aiohttp's router: clients of Mailpit's send paths with double slashes and slashes at the end, and errors
are plain text.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec
from aiohttp import web

Handler = Callable[..., Awaitable[web.StreamResponse]]
"""Called with the request and, by name, what stands in the places of the path's braces."""


class Route(NamedTuple):
    """GET answers HEAD too. `{name}` in a path is one part of it, `{name*}` all that follows.

    `answer` is a type, which is answered as JSON, or a media type; `body` the type of the JSON that is read,
    `query` a struct of the parameters. `open`: nobody need have signed in. The handler's docstring says what
    it does, where `summary` does not.
    """

    method: str
    path: str
    handler: Handler
    answer: Any = "text/plain"
    body: Any = None
    query: type[msgspec.Struct] | None = None
    open: bool = False
    summary: str = ""


Gate = Callable[[web.Request], Awaitable[None]]
"""Raises the refusal of who has not signed in."""


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Sequence[Route], gate: Gate | None = None) -> None:
        """`gate` is asked before all routes that are not `open`."""
        self._gate = gate
        self._plain: dict[str, dict[str, Route]] = {}
        self._patterns: dict[str, tuple[re.Pattern[str], dict[str, Route]]] = {}
        for route in routes:
            if "{" in route.path:
                _, by_method = self._patterns.setdefault(route.path, (_pattern(route.path), {}))
            else:
                by_method = self._plain.setdefault(route.path, {})
            by_method[route.method] = route

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer; 404 for a path that there is not, 405 for a method that it does not have."""
        route, places = self._find(request)
        if self._gate is not None and not route.open:
            await self._gate(request)
        return await route.handler(request, **places)

    def _find(self, request: web.Request) -> tuple[Route, dict[str, str]]:
        path = re.sub("/{2,}", "/", request.rel_url.raw_path)
        path = path.rstrip("/") or "/"
        method = "GET" if request.method == "HEAD" else request.method
        places: dict[str, str] = {}
        by_method = self._plain.get(path)
        if by_method is None:
            by_method, places = self._match(path, method)
        if method in by_method:
            return by_method[method], places
        raise web.HTTPMethodNotAllowed(request.method, by_method.keys())

    def _match(self, path: str, method: str) -> tuple[dict[str, Route], dict[str, str]]:
        """Of several patterns that fit, one that has the method."""
        fitting = [
            (by_method, {name: unquote(each) for name, each in found.groupdict().items()})
            for pattern, by_method in self._patterns.values()
            if (found := pattern.fullmatch(path))
        ]
        if not fitting:
            raise web.HTTPNotFound(text=f"there is no {path[:200]} here")
        return next((each for each in fitting if method in each[0]), fitting[0])


def reply(value: object) -> web.Response:
    """An answer in JSON."""
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _pattern(path: str) -> re.Pattern[str]:
    whole = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", path.replace(".", r"\."))
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", whole))
