"""`GET /api/v1/status`: how the whole is doing, in one answer."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from aiohttp import web

from mailbell.journal.base import Journal
from mailbell.reception import IoServerStatus, Reception
from mailbell.web.routing import Route
from mailbell.web.sinks import Delivery, Status, status_of


class JournalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`last_sequence`: how many mails there have been; `size` in octets, of all files of the data folder."""

    last_sequence: int
    size: int
    trouble: str | None


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    version: str
    ioservers: Sequence[IoServerStatus]
    journal: JournalStatus
    sinks: list[Status]


def route(
    version: str,
    folder: Path,
    journal: Journal,
    reception: Reception,
    deliveries: Mapping[str, Delivery],
) -> Route:
    """Make the route."""

    async def handler(_request: web.Request) -> web.Response:
        whole = Whole(
            version=version,
            ioservers=await reception.ioservers(),
            journal=JournalStatus(
                last_sequence=journal.last_sequence,
                size=_size(folder),
                trouble=await reception.trouble(),
            ),
            sinks=[await status_of(name, each) for name, each in deliveries.items()],
        )
        return web.Response(body=msgspec.json.encode(whole), content_type="application/json")

    return Route("GET", "/api/v1/status", handler)


def _size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.glob("*.db*"))
