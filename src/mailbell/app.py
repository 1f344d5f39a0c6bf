"""The composer: builds every part, hands each the slice of the settings that it needs, runs, and drains.

```
IoServer ─▶ Journal ─▶ Delivery of the Monitor (data points, IO MONITOR) ─▶ Delivery of each sink
```
"""

import asyncio
import logging
import platform
import shutil
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from mailbell import __version__
from mailbell.clock import Clock, SystemClock
from mailbell.delivery.alignment import Alignment
from mailbell.delivery.consumer import Delivery
from mailbell.delivery.feed import Feed
from mailbell.delivery.monitor import Monitor, Watermark
from mailbell.delivery.pace import Pace
from mailbell.event.convert import ConvertOptions
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.log import Log
from mailbell.scripting.state import IoState
from mailbell.server.ioserver import IoServer, hostname
from mailbell.server.memory import Budget
from mailbell.server.tls import Certificate, SelfSigned, TlsContext
from mailbell.server.transcript import Transcripts
from mailbell.server.users import Authenticator, Users
from mailbell.settings import IoServerSettings, ServiceSettings, SinkSettings
from mailbell.sinks import registry
from mailbell.sinks.script import ScriptSink

STOP_SMTP = 5.0
STOP_SINKS = 10.0
"""Seconds that messages under way, and then deliveries in flight, have to finish on stop."""

TRIM_EVERY = 600.0
RESTART_AFTER = 1.0

logger = logging.getLogger("mailbell")


def run(settings: ServiceSettings) -> int:
    """Serve until SIGINT or SIGTERM; the exit status. StartupError when the machine does not allow it."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings))
    return 0


async def _serve(settings: ServiceSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, _on_signal, stop, signum)
    async with App(settings) as app:
        app.announce()
        await stop.wait()
        logger.info("stopping")


def _on_signal(stop: asyncio.Event, signum: signal.Signals) -> None:
    """The first one asks; the second one means it."""
    if stop.is_set():
        signal.signal(signum, signal.SIG_DFL)
        signal.raise_signal(signum)
    stop.set()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # no wheel for this platform: asyncio serves as well, only slower
        return None
    return uvloop.new_event_loop


class App:
    """The whole program in one process; `async with` starts and drains it."""

    def __init__(self, settings: ServiceSettings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.state = IoState()
        self.transcripts = Transcripts(self.clock)
        self._budget = Budget(settings.memory)
        self.ioservers: dict[str, IoServer] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.journal: SqliteJournal
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "App":
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        """Each part is started after, and so stopped before, those that it needs."""
        settings = self.settings
        folder = stack.enter_context(DataFolder(settings.data))
        stack.enter_context(Log(settings.log, folder.path, self.clock))
        stack.callback(logger.info, "stopped")
        self.journal = await SqliteJournal.open(folder, settings.journal, self.clock)
        stack.push_async_callback(self.journal.close)
        await self._start_deliveries(stack)
        for id_, each in settings.ioservers.items():
            server = self._make_server(id_, each, folder.path)
            await server.start()
            stack.push_async_callback(server.stop, STOP_SMTP)
            self.ioservers[id_] = server
            for delivery in self.deliveries.values():
                if isinstance(delivery.sink, ScriptSink):
                    await delivery.sink.io_start(id_)

    def _make_server(self, id_: str, settings: IoServerSettings, folder: Path) -> IoServer:
        users = None if settings.auth != "required" or settings.users is None else Users(settings.users)
        return IoServer(
            id_,
            settings,
            self.journal,
            self.transcripts,
            self.clock,
            budget=self._budget,
            tls=None
            if settings.tls == "off"
            else TlsContext(self._certificate(settings, folder), settings.tls_min),
            authenticator=None if users is None else Authenticator(users, self.clock),
        )

    def _certificate(self, settings: IoServerSettings, folder: Path) -> Certificate:
        if settings.certificate is not None and settings.key is not None:
            return Certificate(settings.certificate, settings.key)
        return SelfSigned(folder, hostname(settings), self.clock)

    async def _start_deliveries(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        feed = Feed(self.journal, {id_: _convert_options(each) for id_, each in settings.ioservers.items()})
        early = (id_ for id_, each in settings.ioservers.items() if each.startupevents)
        alignment = Alignment(["io", *settings.sinks], early)
        first = await self.journal.consumer("io")
        mark = Watermark(first.position)
        monitor = Delivery(
            Monitor(self.state),
            first,
            SinkSettings(),
            feed,
            alignment,
            self.clock,
            on_delivered=mark.move,
            in_turn=Pace(self.clock, lambda: self.journal.last_sequence),
        )
        self._begin(stack, monitor)
        for name, each in settings.sinks.items():
            sink = registry.make(name, each, self.state)
            consumer = await self.journal.consumer(name)
            delivery = Delivery(sink, consumer, each, feed, alignment, self.clock, behind=mark)
            self.deliveries[name] = delivery
            self._begin(stack, delivery)
        _keep_running(stack, "alignment", lambda: _align(alignment))
        _keep_running(stack, "retention", self._trim)

    def _begin(self, stack: AsyncExitStack, delivery: Delivery) -> None:
        stack.push_async_callback(delivery.drain, STOP_SINKS)
        _keep_running(stack, f"sink {delivery.sink.name}", delivery.run)

    async def _trim(self) -> None:
        while True:
            await self.journal.trim()
            await asyncio.sleep(TRIM_EVERY)

    def announce(self) -> None:
        """The first lines of `serve`: what listens where, where the data is, and how to send a first mail."""
        loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
        logger.info("mailbell %s, Python %s on %s", __version__, platform.python_version(), loop)
        for id_, server in self.ioservers.items():
            logger.info("I/O server %s: SMTP on %s", id_, ", ".join(server.addresses))
        for name, sink in self.settings.sinks.items():
            logger.info("sink %s: %s", name, sink.describe())
        logger.info("data in %s", self.settings.data.resolve())
        for server in list(self.ioservers.values())[:1]:
            logger.info("send a first mail: %s send --server 127.0.0.1:%d", _program(), server.port)


def _convert_options(settings: IoServerSettings) -> ConvertOptions:
    return ConvertOptions(rawbody=settings.rawbody, charset=settings.charset)


async def _align(alignment: Alignment) -> None:
    late = await alignment.run()
    if late:
        logger.error("not every sink came up in time; events flow without %s", ", ".join(late))
    await asyncio.Event().wait()


def _keep_running(stack: AsyncExitStack, what: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run in the background until the stack unwinds; a bug in one part is logged and that part begun anew."""

    async def keep() -> None:
        while True:
            try:
                await work()
            except Exception:
                logger.exception("%s failed; it is started again", what)
            await asyncio.sleep(RESTART_AFTER)

    task = asyncio.get_running_loop().create_task(keep(), name=what)

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    stack.push_async_callback(end)


def _program() -> str:
    """How the user calls us: plain `mailbell` where it is on the path."""
    if shutil.which("mailbell"):
        return "mailbell"
    called = Path(sys.argv[0])
    return f"{sys.executable} -m mailbell" if called.name == "__main__.py" else str(called)
