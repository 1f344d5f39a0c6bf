"""The OpenAPI document, made of the routes and of the structs that they answer with, so that it holds."""

import html
import re
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from mailbell.web.routing import Route, reply

_PLACE = re.compile(r"\{(\w+)\*?\}")
_HTML = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>mailbell: API</title>
<h1>The API of mailbell {version}</h1>
<p>As a document for programs: <a href="/api/v1/openapi.json">openapi.json</a>. Errors are text.</p>
{operations}
</html>
"""
_OPERATION = """<h2 id="{id}"><code>{method} {path}</code></h2>
<p>{summary}</p>
<dl>{details}</dl>"""


class OpenApi:
    """The document, and a page for people."""

    def __init__(self, routes: Sequence[Route], version: str) -> None:
        self._routes = [
            *routes,
            Route("GET", "/api/v1/openapi.json", self.document, dict[str, Any]),
            Route("GET", "/api", self.page, "text/html"),
        ]
        self._version = version

    def routes(self) -> list[Route]:
        """What is answered here."""
        return self._routes[-2:]

    async def document(self, _request: web.Request) -> web.Response:
        """This document."""
        return reply(describe(self._routes, self._version))

    async def page(self, _request: web.Request) -> web.Response:
        """The API, for people."""
        operations = "\n".join(map(_operation_html, self._routes))
        text = _HTML.format(version=html.escape(self._version), operations=operations)
        return web.Response(text=text, content_type="text/html")


def describe(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """Make the OpenAPI 3.1 document of these routes."""
    types = [each for route in routes for each in (route.answer, route.body) if _is_type(each)]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    known = dict(zip(map(repr, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(_PLACE.sub(r"{\1}", route.path), {})[route.method.lower()] = _operation(route, known)
    return {
        "openapi": "3.1.0",
        "info": {"title": "mailbell", "version": version, "license": {"name": "MIT", "identifier": "MIT"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SECURITY},
    }


SECURITY: dict[str, Any] = {
    "basic": {"type": "http", "scheme": "basic"},
    "token": {"type": "http", "scheme": "bearer"},
}


def _operation(route: Route, known: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _id(route),
        "summary": summary(route),
        "parameters": [*_places(route), *_parameters(route)],
        "responses": _responses(route, known),
        "security": [{}] if route.open else [{}, {"basic": []}, {"token": []}],
    }
    if route.body is not None:
        content = {"application/json": {"schema": known[repr(route.body)]}}
        described["requestBody"] = {"required": route.method != "DELETE", "content": content}
    return described


def _responses(route: Route, known: dict[str, Any]) -> dict[str, Any]:
    kind, schema = route.answer, {"type": "string"}
    if _is_type(route.answer):
        kind, schema = "application/json", known[repr(route.answer)]
    wrong = {"content": {"text/plain": {"schema": {"type": "string"}}}}
    return {
        "200": {"description": "It is done.", "content": {kind: {"schema": schema}}},
        "default": {"description": "Why it can't be done.", **wrong},
    }


def _places(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PLACE.findall(route.path)
    ]


def _parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    _, components = msgspec.json.schema_components([route.query])
    [described] = [each for name, each in components.items() if name == route.query.__name__]
    found = []
    for name, schema in described["properties"].items():
        about = schema.pop("description", "")
        required = name in described.get("required", ())
        found.append(
            {"name": name, "in": "query", "required": required, "description": about, "schema": schema}
        )
    return found


def summary(route: Route) -> str:
    """What a route does, in a sentence."""
    return route.summary or (route.handler.__doc__ or "").partition("\n")[0]


def _id(route: Route) -> str:
    words = re.findall(r"[A-Za-z0-9]+", route.path.removeprefix("/api/v1").replace("id_", "id"))
    return "_".join([route.method.lower(), *words])


def _is_type(answer: Any) -> bool:
    return answer is not None and not isinstance(answer, str)


def _operation_html(route: Route) -> str:
    return _OPERATION.format(
        id=_id(route),
        method=route.method,
        path=html.escape(route.path),
        summary=html.escape(summary(route)),
        details="".join(
            f"<dt><code>{html.escape(each['name'])}</code></dt><dd>{html.escape(each['description'])}</dd>"
            for each in _parameters(route)
        ),
    )
