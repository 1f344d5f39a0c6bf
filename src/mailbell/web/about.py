"""What the server is and does, in figures: `status`, `io`, `ha`, `config`, `stats`."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from mailbell.event.date import moment_of
from mailbell.event.schema import json_schema
from mailbell.minutes import HOUR
from mailbell.reception import IoServerStatus
from mailbell.web.ports import Availability, Engine
from mailbell.web.routing import Route, reply
from mailbell.web.sinks import Status, status_of


class JournalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`last_sequence`: how many mails there have been; `size` in octets, of all files of the data folder."""

    last_sequence: int
    size: int
    trouble: str | None


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """How the whole is doing."""

    version: str
    ioservers: Sequence[IoServerStatus]
    journal: JournalStatus
    sinks: list[Status]


class DataPoint(msgspec.Struct, frozen=True):
    """A data point and its last value."""

    name: str
    value: str
    at: str


class Minute(msgspec.Struct, frozen=True):
    """What came in a minute: mails, their octets, and connections that brought none."""

    at: str
    mails: int
    octets: int
    refused: int


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from the final dot until delivered."""

    p50: float
    p99: float


class Disk(msgspec.Struct, frozen=True):
    """Octets of the data folder, and free beside it."""

    used: int
    free: int


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """The last hour, since the start at most. `uptime` in seconds."""

    minutes: list[Minute]
    latency: Latency | None
    disk: Disk
    uptime: int


class About:
    """The handlers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._began = engine.clock.monotonic()

    def routes(self) -> list[Route]:
        """What is answered here."""
        return [
            Route("GET", "/api/v1/status", self.status, Whole),
            Route("GET", "/api/v1/io", self.io, list[DataPoint]),
            Route("GET", "/api/v1/ha", self.ha, Availability),
            Route("GET", "/api/v1/config", self.config, dict[str, Any]),
            Route("GET", "/api/v1/stats", self.stats, Stats),
            Route("GET", "/api/v1/schema/event.json", self.schema, dict[str, Any]),
        ]

    async def status(self, _request: web.Request) -> web.Response:
        """How the whole is doing."""
        engine = self._engine
        journal = JournalStatus(
            last_sequence=engine.journal.last_sequence,
            size=sum(each.stat().st_size for each in engine.folder.glob("*.db*")),
            trouble=await engine.reception.trouble(),
        )
        whole = Whole(
            version=engine.version,
            ioservers=await engine.reception.ioservers(),
            journal=journal,
            sinks=[status_of(name, each) for name, each in engine.deliveries.items()],
        )
        return reply(whole)

    async def io(self, _request: web.Request) -> web.Response:
        """The data points, and the last value of each."""
        return reply([DataPoint(each.name, each.value, moment_of(each.at)) for each in self._engine.points()])

    async def ha(self, _request: web.Request) -> web.Response:
        """High availability: how this node stands."""
        return reply(await self._engine.availability())

    async def config(self, _request: web.Request) -> web.Response:
        """The settings in force, with secrets masked."""
        return reply(self._engine.config())

    async def stats(self, _request: web.Request) -> web.Response:
        """What came in each minute of the last hour, how quickly it was delivered, the disk."""
        engine = self._engine
        latency = engine.deliveries.latency()
        made = Stats(
            minutes=await self._minutes(),
            latency=Latency(*latency) if latency else None,
            disk=await asyncio.to_thread(_disk, engine.folder),
            uptime=int(engine.clock.monotonic() - self._began),
        )
        return reply(made)

    async def _minutes(self) -> list[Minute]:
        engine = self._engine
        refused = await engine.reception.refused()
        now = engine.clock.monotonic()
        # The counts go by a clock that nobody sets, so the times are counted back from now.
        last = engine.clock.time() - now % 60
        times = [moment_of(last - 60 * back) for back in reversed(range(HOUR))]
        counts = (engine.arrivals.mails.last_hour(now), engine.arrivals.octets.last_hour(now), refused)
        return [Minute(*each) for each in zip(times, *counts, strict=True)]

    async def schema(self, _request: web.Request) -> web.Response:
        """The JSON Schema of the full event."""
        return reply(json_schema())


def _disk(folder: Path) -> Disk:
    sizes = []
    for each in folder.rglob("*"):
        try:
            sizes.append(each.stat().st_size if each.is_file() else 0)
        except FileNotFoundError:  # a temporary file, or an old log
            continue
    return Disk(sum(sizes), shutil.disk_usage(folder).free)
