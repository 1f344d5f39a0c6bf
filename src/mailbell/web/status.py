"""`GET /api/v1/status`: how the whole is doing, in one answer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec
from aiohttp import web

from mailbell.journal.base import Journal
from mailbell.web.routing import Route
from mailbell.web.sinks import Delivery, Status, status_of


class Slots(Protocol):
    """How many are served, and how many wait."""

    taken: int
    waiting: int


class IoServer(Protocol):
    """A listening I/O server."""

    id: str

    @property
    def slots(self) -> Slots:
        """Of the connections."""
        ...

    @property
    def addresses(self) -> list[str]:
        """Where it listens, for people."""
        ...


class IoServerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`served` and `waiting` are connections."""

    id: str
    listening: list[str]
    served: int
    waiting: int


class JournalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`last_sequence`: how many mails there have been; `size` in octets, of all files of the data folder."""

    last_sequence: int
    size: int
    trouble: str | None


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    version: str
    ioservers: list[IoServerStatus]
    journal: JournalStatus
    sinks: list[Status]


def route(
    version: str,
    folder: Path,
    journal: Journal,
    ioservers: Mapping[str, IoServer],
    deliveries: Mapping[str, Delivery],
) -> Route:
    """Make the route."""

    async def handler(_request: web.Request) -> web.Response:
        whole = Whole(
            version=version,
            ioservers=[
                IoServerStatus(
                    id=each.id, listening=each.addresses, served=each.slots.taken, waiting=each.slots.waiting
                )
                for each in ioservers.values()
            ],
            journal=JournalStatus(
                last_sequence=journal.last_sequence,
                size=_size(folder),
                trouble=None if journal.trouble is None else str(journal.trouble),
            ),
            sinks=[await status_of(name, each) for name, each in deliveries.items()],
        )
        return web.Response(body=msgspec.json.encode(whole), content_type="application/json")

    return Route("GET", "/api/v1/status", handler)


def _size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.glob("*.db*"))
