"""`/metrics` for Prometheus: figures that are there anyway, put together when they are asked for.

So they cost nothing while nobody asks. What the receiving half knows is asked of it first.
"""

from collections.abc import Iterable, Iterator

from aiohttp import web
from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import CollectorRegistry

from mailbell.reception import IoServerStatus
from mailbell.web.ports import Engine
from mailbell.web.routing import Route
from mailbell.web.sinks import status_of

STATES = ("up", "down", "paused")


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
        engine = self._engine
        found = [
            *self._of_the_program(),
            *_of_ioservers(await engine.reception.ioservers()),
            _gauge("mailbell_taking_mail", "1: mail is taken.", await engine.reception.trouble() is None),
            _gauge(
                "mailbell_connections_failed_last_hour",
                "Connections of the last hour that brought no mail.",
                sum(await engine.reception.refused()),
            ),
            *self._of_sinks(),
        ]
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Gathered(found))
        ProcessCollector(registry=registry)
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
        for name, delivery in self._engine.deliveries.items():
            status = status_of(name, delivery)
            for each in STATES:
                state.add_metric([name, each], status.state == each)
            for what, family in figures.items():
                family.add_metric([name], getattr(status, what))
        return [state, *figures.values()]


class _Gathered:
    """What a registry asks."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def _of_ioservers(ioservers: Iterable[IoServerStatus]) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "mailbell_connections", "Connections at present.", labels=["ioserver", "state"]
    )
    for each in ioservers:
        family.add_metric([each.id, "served"], each.served)
        family.add_metric([each.id, "waiting"], each.waiting)
    yield family


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=value)
