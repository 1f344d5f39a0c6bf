"""The calls that need no inbox: over HTTP, and for the command line over the control socket."""

from mailbell.web import sessions
from mailbell.web.about import About
from mailbell.web.events import Events
from mailbell.web.metrics import Metrics
from mailbell.web.monitor import Monitor
from mailbell.web.ports import Engine
from mailbell.web.routing import Route
from mailbell.web.sinks import Sinks
from mailbell.web.streams import Streams


def routes(engine: Engine, streams: Streams) -> list[Route]:
    """Make the routes."""
    return [
        *Sinks(engine.journal, engine.deliveries, engine.find).routes(),
        *sessions.routes(engine.reception),
        *Events(engine, streams).routes(),
        *Monitor(engine.tap, streams).routes(),
        *About(engine).routes(),
        *Metrics(engine).routes(),
    ]
