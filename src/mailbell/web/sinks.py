"""`/api/v1/sinks` and `/api/v1/deliveries`: how each sink is doing; pause, resume, replay; what is parked."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from mailbell.errors import MailGone
from mailbell.journal.base import Consumer, Journal, State
from mailbell.settings import MatchSettings
from mailbell.web import requests
from mailbell.web.ports import Deliveries, Delivery, Find
from mailbell.web.routing import Route, reply


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A sink. `rate`: events a second, over about a minute; delivered and retried count from the start.

    `history`: events delivered in each minute of the last hour, oldest first. `match`: what it gets, in
    words; empty: all.
    """

    name: str
    type: str
    describe: str
    match: str
    state: str
    paused: str | None
    lag: int
    parked: int
    delivered: int
    retried: int
    rate: float
    last_error: str | None
    last_error_at: float | None
    history: list[int]


class Stuck(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a sink has given up."""

    sink: str
    sequence: int
    attempts: int
    parked_at: float
    reason: str


class Chosen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events to replay: one of the four. `ids` are those that the 250 and the event name."""

    parked: bool = False
    ids: list[str] | None = None
    sequences: list[int] | None = None
    since: float | None = None
    """By the wall clock: what was received from this second on."""


class Picked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events of one sink."""

    sink: str
    sequences: list[int]


class Asked(requests.Query, frozen=True, kw_only=True):
    """Which deliveries."""

    state: Annotated[Literal["parked"], Meta(description="There is this one only.")] = "parked"


class Replayed(msgspec.Struct, frozen=True):
    """How many are on their way again."""

    replayed: int


class Retried(msgspec.Struct, frozen=True):
    """How many are tried again."""

    retried: int


class Dropped(msgspec.Struct, frozen=True):
    """How many were let go."""

    dropped: int


class Sinks:
    """The handlers."""

    def __init__(self, journal: Journal, deliveries: Deliveries, find: Find | None) -> None:
        """`find` needs the inbox: without it, events have numbers only."""
        self._journal = journal
        self._deliveries = deliveries
        self._find = find

    def routes(self) -> list[Route]:
        """What is answered here."""
        return [
            Route("GET", "/api/v1/sinks", self.sinks, list[Status]),
            Route("POST", "/api/v1/sinks/{name}/pause", self.pause, Status),
            Route("POST", "/api/v1/sinks/{name}/resume", self.resume, Status),
            Route("POST", "/api/v1/sinks/{name}/replay", self.replay, Replayed, Chosen),
            Route("GET", "/api/v1/deliveries", self.parked, list[Stuck], query=Asked),
            Route("POST", "/api/v1/deliveries/retry", self.retry, Retried, Picked),
            Route("POST", "/api/v1/deliveries/drop", self.drop, Dropped, Picked),
        ]

    async def sinks(self, _request: web.Request) -> web.Response:
        """All sinks, and how each is doing."""
        return reply([status_of(name, each) for name, each in self._deliveries.items()])

    async def pause(self, _request: web.Request, name: str) -> web.Response:
        """Deliver nothing more until resumed, or the next start."""
        delivery = self._named(name)
        if delivery.paused is None:
            delivery.pause("asked for")
        return reply(status_of(name, delivery))

    async def resume(self, _request: web.Request, name: str) -> web.Response:
        """Go on after a pause."""
        self._named(name).resume()
        return reply(status_of(name, self._named(name)))

    async def replay(self, request: web.Request, name: str) -> web.Response:
        """Deliver events once more: those parked, some by their numbers, or all since a moment."""
        consumer = self._named(name).consumer
        chosen = await requests.read_exactly(request, Chosen)
        given = [each is not None for each in (chosen.ids, chosen.sequences, chosen.since)]
        if [chosen.parked, *given].count(True) != 1:
            raise web.HTTPBadRequest(text="say which events: one of parked, ids, sequences, since")
        if chosen.sequences is not None:
            sequences: Sequence[int] = chosen.sequences
        elif chosen.ids is not None:
            sequences = [await self._sequence(each) for each in chosen.ids]
        elif chosen.since is not None:
            sequences = await self._since(chosen.since)
        else:
            sequences = [each.sequence for each in await consumer.parked()]
        await self._replay(consumer, sequences)
        return reply(Replayed(len(sequences)))

    async def parked(self, request: web.Request) -> web.Response:
        """What was given up, by sink, in order of arrival."""
        requests.query(request, Asked)
        return reply(
            [
                Stuck(sink=name, **msgspec.structs.asdict(each))
                for name, delivery in self._deliveries.items()
                for each in await delivery.consumer.parked()
            ]
        )

    async def retry(self, request: web.Request) -> web.Response:
        """Try events now that are parked, or wait for their next try."""
        consumer, sequences = await self._picked(request, "parked", "waiting")
        await self._replay(consumer, sequences)
        return reply(Retried(len(sequences)))

    async def drop(self, request: web.Request) -> web.Response:
        """Let go of parked events for good."""
        consumer, sequences = await self._picked(request, "parked")
        await consumer.discard(sequences)
        self._tell(sequences)
        return reply(Dropped(len(sequences)))

    async def _replay(self, consumer: Consumer, sequences: Sequence[int]) -> None:
        await consumer.replay(sequences)
        self._tell(sequences)

    def _tell(self, sequences: Sequence[int]) -> None:
        for each in sequences:
            self._deliveries.changed(each)

    async def _picked(self, request: web.Request, *states: State) -> tuple[Consumer, list[int]]:
        """The consumer, and those of the events asked for that are in one of these states."""
        picked = await requests.read_exactly(request, Picked)
        consumer = self._named(picked.sink).consumer
        return consumer, [each for each in picked.sequences if consumer.state(each) in states]

    async def _sequence(self, id_: str) -> int:
        if self._find is None:
            raise web.HTTPBadRequest(text="IDs are known to the inbox, which is off; give numbers")
        sequence = await self._find(id_)
        if sequence is None:
            raise web.HTTPNotFound(text=f"the inbox has no mail {id_[:100]!a}")
        return sequence

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


def status_of(name: str, delivery: Delivery) -> Status:
    """How this sink is doing."""
    tally, settings = delivery.tally, delivery.settings
    return Status(
        name=name,
        type=str(settings.__struct_config__.tag),
        describe=settings.describe(),
        match=in_words(settings.match),
        state=delivery.state,
        paused=delivery.paused,
        lag=delivery.consumer.lag,
        parked=delivery.consumer.parked_count,
        delivered=tally.delivered,
        retried=tally.retried,
        rate=round(delivery.rate, 3),
        last_error=tally.last_error,
        last_error_at=tally.last_error_at,
        history=delivery.history,
    )


def in_words(match: MatchSettings) -> str:
    """Which events a sink gets: `from *@cams.lan; subject *alarm* or *motion*`."""
    given = {
        field.encode_name: getattr(match, field.name)
        for field in msgspec.structs.fields(match)
        if getattr(match, field.name) != field.default
    }
    given |= given.pop("header", {})
    return "; ".join(f"{name} {_either(value)}" for name, value in given.items())


def _either(value: object) -> str:
    return " or ".join(map(str, value)) if isinstance(value, tuple) else "yes" if value else "no"
