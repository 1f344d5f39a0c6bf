"""`GET /api/v1/status`: how the whole is doing, in one answer."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from aiohttp import web

from mailbell.reception import IoServerStatus
from mailbell.web.ports import Engine
from mailbell.web.routing import Route, reply
from mailbell.web.sinks import Status, status_of


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


def route(engine: Engine) -> Route:
    """Make the route."""

    async def handler(_request: web.Request) -> web.Response:
        """How the whole is doing."""
        journal = engine.journal
        whole = Whole(
            version=engine.version,
            ioservers=await engine.reception.ioservers(),
            journal=JournalStatus(
                last_sequence=journal.last_sequence,
                size=_size(engine.folder),
                trouble=await engine.reception.trouble(),
            ),
            sinks=[status_of(name, each) for name, each in engine.deliveries.items()],
        )
        return reply(whole)

    return Route("GET", "/api/v1/status", handler, Whole)


def _size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.glob("*.db*"))
