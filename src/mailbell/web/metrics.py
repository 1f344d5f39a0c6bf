"""`/metrics` for Prometheus: figures that are there anyway, put together when they are asked for.

So they cost nothing while nobody asks. What the receiving half knows is asked of it first.
"""

import asyncio
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence

from aiohttp import web
from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import CollectorRegistry

from mailbell.histogram import Histogram
from mailbell.reception import IoServerStatus
from mailbell.web.ports import Engine
from mailbell.web.routing import Route
from mailbell.web.sinks import status_of

STATES = ("up", "down", "paused", "standby")
RESULTS = ("with_mail", "refused", "without")


class Metrics:
    """The handler."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._began = engine.clock.monotonic()

    def routes(self) -> list[Route]:
        """What is answered here."""
        return [Route("GET", "/metrics", self.metrics)]

    async def metrics(self, _request: web.Request) -> web.Response:
        """The figures for Prometheus."""
        receiving = await self._engine.reception.figures()
        found = [
            *self._of_the_program(),
            *await self._of_the_node(),
            *await self._of_receiving(),
            _histogram("mailbell_append_latency_seconds", "From append to commit.", receiving.appends),
            *self._of_sinks(),
        ]
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Gathered(found))
        ProcessCollector(registry=registry)
        ProcessCollector("mailbell_receiving", lambda: receiving.process, registry=registry)
        headers = {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        return web.Response(body=generate_latest(registry), headers=headers)

    def _of_the_program(self) -> Iterator[Metric]:
        engine = self._engine
        yield InfoMetricFamily("mailbell", "This server.", {"version": engine.version})
        uptime = engine.clock.monotonic() - self._began
        yield _gauge("mailbell_uptime_seconds", "Since the start.", uptime)
        arrivals = engine.arrivals
        yield _counter("mailbell_mails", "Mails that became events, since the start.", arrivals.mails.total)
        yield _counter("mailbell_mail_octets", "Octets of these.", arrivals.octets.total)
        yield _gauge("mailbell_journal_sequence", "The newest mail's.", engine.journal.last_sequence)
        if latency := engine.deliveries.latency():
            family = GaugeMetricFamily(
                "mailbell_delivery_latency_seconds",
                "From the final dot until delivered, over the last hour.",
                labels=["quantile"],
            )
            for quantile, milliseconds in zip(("0.5", "0.99"), latency, strict=True):
                family.add_metric([quantile], milliseconds / 1000)
            yield family

    async def _of_the_node(self) -> list[Metric]:
        engine = self._engine
        ha = await engine.availability()
        active = GaugeMetricFamily("mailbell_ha_active", "1: this node delivers.", labels=["mode"])
        active.add_metric([ha.mode], ha.active)
        disk = await asyncio.to_thread(shutil.disk_usage, engine.folder)
        return [active, _gauge("mailbell_disk_free_octets", "Of the data folder's disk.", disk.free)]

    async def _of_receiving(self) -> list[Metric]:
        reception = self._engine.reception
        return [
            *_of_ioservers(await reception.ioservers()),
            _gauge("mailbell_taking_mail", "1: mail is taken.", await reception.trouble() is None),
            _gauge(
                "mailbell_connections_failed_last_hour",
                "Connections of the last hour that brought no mail.",
                sum(await reception.refused()),
            ),
        ]

    def _of_sinks(self) -> list[Metric]:
        state = GaugeMetricFamily("mailbell_sink_state", "1: the sink is in it.", labels=["sink", "state"])
        figures: dict[str, GaugeMetricFamily | CounterMetricFamily] = {
            "lag": GaugeMetricFamily("mailbell_sink_lag", "Events to deliver.", labels=["sink"]),
            "parked": GaugeMetricFamily("mailbell_sink_parked", "Events given up.", labels=["sink"]),
            "delivered": CounterMetricFamily(
                "mailbell_sink_delivered", "Events delivered, since the start.", labels=["sink"]
            ),
            "retried": CounterMetricFamily(
                "mailbell_sink_retried", "Tries that came to nothing, since the start.", labels=["sink"]
            ),
        }
        latency = HistogramMetricFamily(
            "mailbell_sink_latency_seconds", "From the final dot until delivered.", labels=["sink"]
        )
        for name, delivery in self._engine.deliveries.items():
            status = status_of(name, delivery)
            for each in STATES:
                state.add_metric([name, each], status.state == each)
            for what, family in figures.items():
                family.add_metric([name], getattr(status, what))
            _add(latency, [name], delivery.tally.latency.total)
        return [state, *figures.values(), latency]


class _Gathered:
    """What a registry asks."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def _of_ioservers(ioservers: Sequence[IoServerStatus]) -> Iterator[Metric]:
    counts = {each.id: each.counts for each in ioservers}
    yield _labelled(
        GaugeMetricFamily("mailbell_slots", "Connections served at once, at most.", labels=["ioserver"]),
        {(each.id,): each.slots for each in ioservers},
    )
    yield _labelled(
        GaugeMetricFamily("mailbell_connections", "Connections at present.", labels=["ioserver", "state"]),
        {(each.id, state): getattr(each, state) for each in ioservers for state in ("served", "waiting")},
    )
    yield _labelled(
        CounterMetricFamily("mailbell_ioserver_mails", "Mails taken, since the start.", labels=["ioserver"]),
        {(id_,): each.mails for id_, each in counts.items()},
    )
    yield _labelled(
        CounterMetricFamily("mailbell_ioserver_octets", "Octets of these.", labels=["ioserver"]),
        {(id_,): each.octets for id_, each in counts.items()},
    )
    yield _labelled(
        CounterMetricFamily(
            "mailbell_ioserver_connections",
            "Connections that have ended, since the start.",
            labels=["ioserver", "result"],
        ),
        {(id_, result): getattr(each, result) for id_, each in counts.items() for result in RESULTS},
    )
    yield _labelled(
        CounterMetricFamily(
            "mailbell_ioserver_refusals",
            "Replies that refuse something, since the start.",
            labels=["ioserver", "code"],
        ),
        {(id_, str(code)): count for id_, each in counts.items() for code, count in each.refusals.items()},
    )


def _labelled(
    family: GaugeMetricFamily | CounterMetricFamily, samples: Mapping[tuple[str, ...], float]
) -> Metric:
    """Labels → figure."""
    for labels, value in samples.items():
        family.add_metric(labels, value)
    return family


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=value)


def _histogram(name: str, about: str, value: Histogram) -> Metric:
    family = HistogramMetricFamily(name, about)
    _add(family, [], value)
    return family


def _add(family: HistogramMetricFamily, labels: list[str], value: Histogram) -> None:
    buckets = [("+Inf" if bound == math.inf else str(bound), count) for bound, count in value.up_to()]
    family.add_metric(labels, buckets, value.seconds)
