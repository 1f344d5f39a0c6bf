"""`/api/v1/sinks` and `/api/v1/deliveries`: how each sink is doing; pause, resume, replay; what is parked."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeVar

import msgspec
from aiohttp import web

from mailbell.errors import MailGone
from mailbell.journal.base import Consumer, Journal
from mailbell.web.routing import Route

T = TypeVar("T")


class Tally(Protocol):
    """What a delivery has come to since the start."""

    delivered: int
    retried: int
    last_error: str | None
    last_error_at: float | None


class Delivery(Protocol):
    """A sink with its place in the journal."""

    paused: str | None

    @property
    def consumer(self) -> Consumer: ...
    @property
    def tally(self) -> Tally: ...
    @property
    def state(self) -> Literal["up", "down", "paused", "standby"]: ...
    @property
    def rate(self) -> float: ...
    def pause(self, reason: str) -> None: ...
    def resume(self) -> None: ...


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A sink. `rate`: events a second, over about a minute; delivered and retried count from the start."""

    name: str
    state: str
    paused: str | None
    lag: int
    parked: int
    delivered: int
    retried: int
    rate: float
    last_error: str | None
    last_error_at: float | None


class Stuck(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a sink has given up."""

    sink: str
    sequence: int
    attempts: int
    parked_at: float
    reason: str


class Chosen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events to replay: one of the three."""

    parked: bool = False
    sequences: list[int] | None = None
    since: float | None = None
    """By the wall clock: what was received from this second on."""


class Picked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parked events of one sink."""

    sink: str
    sequences: list[int]


class Sinks:
    """The handlers."""

    def __init__(self, journal: Journal, deliveries: Mapping[str, Delivery]) -> None:
        self._journal = journal
        self._deliveries = deliveries

    def routes(self) -> list[Route]:
        """What is answered here."""
        return [
            Route("GET", "/api/v1/sinks", self.sinks),
            Route("POST", "/api/v1/sinks/{name}/pause", self.pause),
            Route("POST", "/api/v1/sinks/{name}/resume", self.resume),
            Route("POST", "/api/v1/sinks/{name}/replay", self.replay),
            Route("GET", "/api/v1/deliveries", self.parked),
            Route("POST", "/api/v1/deliveries/retry", self.retry),
            Route("POST", "/api/v1/deliveries/drop", self.drop),
        ]

    async def sinks(self, _request: web.Request) -> web.Response:
        """All sinks."""
        return _json([await status_of(name, each) for name, each in self._deliveries.items()])

    async def pause(self, _request: web.Request, name: str) -> web.Response:
        """Deliver nothing more until resumed, or the next start."""
        delivery = self._named(name)
        if delivery.paused is None:
            delivery.pause("asked for")
        return _json(await status_of(name, delivery))

    async def resume(self, _request: web.Request, name: str) -> web.Response:
        """Go on."""
        self._named(name).resume()
        return _json(await status_of(name, self._named(name)))

    async def replay(self, request: web.Request, name: str) -> web.Response:
        """Deliver once more; how many."""
        consumer = self._named(name).consumer
        chosen = await _body(request, Chosen)
        given = [chosen.parked, chosen.sequences is not None, chosen.since is not None]
        if given.count(True) != 1:
            raise web.HTTPBadRequest(text="say which events: one of parked, sequences, since")
        if chosen.sequences is not None:
            sequences: Sequence[int] = chosen.sequences
        elif chosen.since is not None:
            sequences = await self._since(chosen.since)
        else:
            sequences = [each.sequence for each in await consumer.parked()]
        await consumer.replay(sequences)
        return _json({"replayed": len(sequences)})

    async def parked(self, request: web.Request) -> web.Response:
        """What was given up, by sink, in order of arrival."""
        if request.query.get("state", "parked") != "parked":
            raise web.HTTPBadRequest(text="state: there is parked only")
        return _json(
            [
                Stuck(sink=name, **msgspec.structs.asdict(each))
                for name, delivery in self._deliveries.items()
                for each in await delivery.consumer.parked()
            ]
        )

    async def retry(self, request: web.Request) -> web.Response:
        """Try parked events again, now."""
        consumer, sequences = await self._picked(request)
        await consumer.replay(sequences)
        return _json({"retried": len(sequences)})

    async def drop(self, request: web.Request) -> web.Response:
        """Let go of parked events for good."""
        consumer, sequences = await self._picked(request)
        await consumer.discard(sequences)
        return _json({"dropped": len(sequences)})

    async def _picked(self, request: web.Request) -> tuple[Consumer, list[int]]:
        picked = await _body(request, Picked)
        consumer = self._named(picked.sink).consumer
        parked = {each.sequence for each in await consumer.parked()}
        return consumer, [each for each in picked.sequences if each in parked]

    async def _since(self, moment: float) -> Sequence[int]:
        """From the newest back to the first that is older, or no longer there."""
        sequence = self._journal.last_sequence
        while sequence > 0:
            try:
                mail = await self._journal.read(sequence)
            except MailGone:
                break
            if mail.received_at < moment * 1000:
                break
            sequence -= 1
        return range(sequence + 1, self._journal.last_sequence + 1)

    def _named(self, name: str) -> Delivery:
        if name not in self._deliveries:
            known = ", ".join(self._deliveries) or "there is none"
            raise web.HTTPNotFound(text=f"no sink {name[:100]!a}; known: {known}")
        return self._deliveries[name]


async def status_of(name: str, delivery: Delivery) -> Status:
    """How this sink is doing."""
    tally = delivery.tally
    return Status(
        name=name,
        state=delivery.state,
        paused=delivery.paused,
        lag=delivery.consumer.lag,
        parked=len(await delivery.consumer.parked()),
        delivered=tally.delivered,
        retried=tally.retried,
        rate=round(delivery.rate, 3),
        last_error=tally.last_error,
        last_error_at=tally.last_error_at,
    )


async def _body(request: web.Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        raise web.HTTPBadRequest(text=f"the body: {error}") from None


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
