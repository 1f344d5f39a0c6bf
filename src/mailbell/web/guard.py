"""What is refused before any handler sees it, and what every answer carries."""

import ipaddress
import logging
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from mailbell.errors import InboxUnavailable, JournalError, MailGone

HEADERS = {
    "Server": "mailbell",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-DNS-Prefetch-Control": "off",  # Firefox looks up the names in links
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self'; require-trusted-types-for 'script'; trusted-types 'none'",
}
TOLD = (hdrs.ALLOW, hdrs.RETRY_AFTER, hdrs.WWW_AUTHENTICATE)
"""What a refusal has to say beside its text."""

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))

logger = logging.getLogger("mailbell.web")


class Guard:
    """Who may ask. A browser is not to be talked into asking in the name of another site's page."""

    def __init__(self, hosts: Collection[str]) -> None:
        """`hosts` are names that the server is reached by, besides the machine's own and any address."""
        own = socket.gethostname().lower()
        self._hosts = {"localhost", own, f"{own}.local", *(host.lower() for host in hosts)}

    def check(self, request: web.Request) -> None:
        """Raise the refusal, if the request is to be refused."""
        host = request.headers.get("Host", "")
        if not self._knows(host):
            raise web.HTTPForbidden(text=f"this is no name of ours: {host!a}; add it to `hosts` in [web]")
        opens_socket = "websocket" in request.headers.get("Upgrade", "").lower()
        acts = request.method not in SAFE or opens_socket
        if (acts and not _same_site(request, host)) or _is_embedded(request):
            raise web.HTTPForbidden(text="refused: this came from another site's page")

    def _knows(self, host: str) -> bool:
        """DNS rebinding needs a name that its attacker has the DNS of: an address can't be one."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return name in self._hosts or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_site(request: web.Request, host: str) -> bool:
    """Programs send neither header; browsers send Origin with all but GET, and `null` when in doubt."""
    origin = request.headers.get("Origin")
    if origin is not None:
        return origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower())
    return request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")


def _is_embedded(request: web.Request) -> bool:
    """Whether another site's page, or a mail's HTML, loads it as a part of itself; a link is not that."""
    if request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin"):
        return False
    return request.headers.get("Sec-Fetch-Dest") != "document"


def middleware(guard: Guard | None) -> Middleware:
    """Check, answer, and turn what goes wrong into plain text."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await _answer(request, handler, guard)
        if not response.prepared:  # a WebSocket is past its headers
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    return guarded


async def _answer(request: web.Request, handler: Handler, guard: Guard | None) -> web.StreamResponse:
    try:
        if guard is not None:
            guard.check(request)
        return await handler(request)
    except web.HTTPException as error:
        headers = {name: error.headers[name] for name in TOLD if name in error.headers}
        return web.Response(status=error.status, text=error.text, headers=headers)
    except MailGone:
        return web.Response(status=404, text="the journal no longer has this mail")
    except (InboxUnavailable, JournalError) as error:
        return web.Response(status=503, text=str(error))
    except Exception:
        logger.exception("%s %s failed", request.method, request.path)
        return web.Response(status=500, text="this failed; the log of the server says why")
