"""The composer: builds every part, hands each the slice of the settings that it needs, runs, and drains.

```
IoServer ─▶ Journal ─▶ Delivery of the Monitor (data points, IO MONITOR) ─▶ Delivery of each sink
                  └──▶ Inbox (index) ◀── WebServer
```
"""

import asyncio
import logging
import platform
import resource
import shutil
import signal
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mailbell import __version__
from mailbell.changes import changes
from mailbell.clock import Clock, SystemClock
from mailbell.config import effective
from mailbell.delivery.alignment import Alignment
from mailbell.delivery.consumer import Delivery
from mailbell.delivery.deliveries import Deliveries
from mailbell.delivery.feed import Feed
from mailbell.delivery.keep import keep_running
from mailbell.delivery.monitor import Monitor, Watermark
from mailbell.delivery.pace import Pace
from mailbell.errors import ConfigError, InboxUnavailable, ListenError, SinkUnavailable
from mailbell.event.convert import Converted, ConvertOptions
from mailbell.inbox.index import Inbox
from mailbell.journal.base import Consumer
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.log import Log
from mailbell.login.users import Authenticator, Users
from mailbell.scripting.state import IoState
from mailbell.server.ioserver import LIVE, IoServer, hostname
from mailbell.server.memory import Budget
from mailbell.server.tls import Certificate, SelfSigned, TlsContext
from mailbell.server.transcript import Transcripts
from mailbell.settings import IoServerSettings, ServiceSettings, SinkSettings, SmtpSettings, WebSettings
from mailbell.sinks.base import Delivered

if TYPE_CHECKING:
    from mailbell.web.ports import Engine
    from mailbell.web.tap import Tap

STOP_SMTP = 5.0
STOP_MONITOR = 1.0
"""Seconds that messages under way, and then what is in flight to the monitor, have to finish on stop."""

TRIM_EVERY = 600.0
INBOX_SHARE = 0.05
"""The part of the loop's time that the inbox may take while mail comes in: some hundred mails a second."""

logger = logging.getLogger("mailbell")


Read = Callable[[], ServiceSettings]


def run(settings: ServiceSettings, read: Read) -> int:
    """Serve until SIGINT or SIGTERM; the exit status. StartupError when the machine does not allow it.

    On SIGHUP the settings are `read` again.
    """
    _take_files()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, read))
    return 0


async def _serve(settings: ServiceSettings, read: Read) -> None:
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, _on_signal, stop, signum)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    async with App(settings) as app, AsyncExitStack() as stack:
        app.announce()
        keep_running(stack, "reload", lambda: _reload_when(reload, app, read))
        await stop.wait()
        logger.info("stopping")


async def _reload_when(asked: asyncio.Event, app: "App", read: Read) -> None:
    while True:
        await asked.wait()
        asked.clear()
        try:
            settings = await asyncio.to_thread(read)
        except ConfigError as error:
            for problem in error.problems:
                logger.error("reload: %s", problem)
            logger.error("reload: the settings stay as they were")
        else:
            await app.reload(settings)


def _on_signal(stop: asyncio.Event, signum: signal.Signals) -> None:
    """The first one asks; the second one means it."""
    if stop.is_set():
        signal.signal(signum, signal.SIG_DFL)
        signal.raise_signal(signum)
    stop.set()


def _take_files() -> None:
    """As many file descriptors as we may have: the usual 1024 are for programs that use select()."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


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
        self.deliveries: Deliveries
        self.inbox: Inbox | None = None
        self.url: str | None = None
        """Where the web server answers."""
        self._feed: Feed
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
        tap = stack.enter_context(_tap(self.clock))
        stack.callback(logger.info, "stopped")
        self.journal = await SqliteJournal.open(folder, settings.journal, self.clock)
        stack.push_async_callback(self.journal.close)
        # Asked for before the first trim, which would else not wait for it.
        reader = await self.journal.consumer("inbox") if settings.web.listen != "off" else None
        await self._start_deliveries(stack)
        if reader is not None:
            self._start_inbox(stack, reader, folder.path / "index.db")
        for id_, each in settings.ioservers.items():
            server = self._make_server(id_, each, folder.path)
            await server.start()
            stack.push_async_callback(server.stop, STOP_SMTP)
            self.ioservers[id_] = server
            await self.deliveries.listening(id_)
        engine = self._engine(tap)
        await self._start_control(stack, engine)
        if self.inbox is not None:
            await self._start_web(stack, self.inbox, engine)

    async def _start_control(self, stack: AsyncExitStack, engine: "Engine") -> None:
        """The socket over which the command line asks what is going on."""
        from mailbell.web import own
        from mailbell.web.control import ControlSocket  # with aiohttp, which takes its time to import
        from mailbell.web.streams import Streams

        streams = Streams()
        control = ControlSocket(self.settings.data, own.routes(engine, streams), streams)
        try:
            await control.start()
        except ListenError as error:  # a shared folder of a virtual machine: no reason to take no mail
            logger.warning("%s; the command line can't ask this server", error)
        else:
            stack.push_async_callback(control.stop)

    def _engine(self, tap: "Tap") -> "Engine":
        """What delivers, for the API."""
        from mailbell.web.ports import Availability, Engine

        async def refused() -> list[int]:
            return self.transcripts.refused.last_hour(self.clock.monotonic())

        async def availability() -> Availability:
            return Availability(mode="single", active=self.state.active, node=None, since=None)

        return Engine(
            version=__version__,
            folder=self.settings.data,
            clock=self.clock,
            journal=self.journal,
            item=self._feed.item,
            deliveries=self.deliveries,
            ioservers=self.ioservers,
            transcripts=self.transcripts,
            head=self._mark,
            arrivals=self._monitor,
            points=self.state.points,
            refused=refused,
            tap=tap,
            availability=availability,
            config=lambda: effective(self.settings),
        )

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
            else TlsContext(self._certificate(settings, folder, hostname(settings)), settings.tls_min),
            authenticator=None if users is None else Authenticator(users, self.clock),
        )

    def _certificate(self, settings: IoServerSettings | WebSettings, folder: Path, name: str) -> Certificate:
        if settings.certificate is not None and settings.key is not None:
            return Certificate(settings.certificate, settings.key)
        return SelfSigned(folder, name, self.clock)

    async def _start_deliveries(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        feed = self._feed = Feed(self.journal, _convert_options(settings))
        early = (id_ for id_, each in settings.ioservers.items() if each.startupevents)
        alignment = Alignment(["io", *settings.sinks], early)
        first = await self.journal.consumer("io")
        mark = self._mark = Watermark(lambda: first.position)
        self._monitor = Monitor(self.state, self.clock)
        monitor = Delivery(
            self._monitor,
            first,
            SinkSettings(),
            feed,
            alignment,
            self.clock,
            on_delivered=mark.move,
            in_turn=Pace(self.clock, lambda: self.journal.last_sequence),
        )
        stack.push_async_callback(monitor.drain, STOP_MONITOR)
        keep_running(stack, "the IO MONITOR", monitor.run)
        self.deliveries = Deliveries(self.journal, feed, alignment, self.clock, self.state, behind=mark)
        stack.push_async_callback(self.deliveries.close)
        for name, each in settings.sinks.items():
            await self.deliveries.serve(name, each)
        keep_running(stack, "alignment", lambda: _align(alignment))
        keep_running(stack, "retention", self._trim)

    def _start_inbox(self, stack: AsyncExitStack, consumer: Consumer, path: Path) -> None:
        """While mail is coming in it may be behind: nothing waits for it."""
        pace = Pace(self.clock, lambda: self.journal.last_sequence, INBOX_SHARE)
        self.inbox = Inbox(path, self.journal, consumer, self._feed.item, pace.keep, self.clock)
        stack.push_async_callback(self.inbox.close)
        keep_running(stack, "the inbox", self.inbox.run)

    async def _start_web(self, stack: AsyncExitStack, inbox: Inbox, engine: "Engine") -> None:
        """Where nobody has chosen the port, that it is taken is no reason to take no mail."""
        from mailbell.web.ports import Parts
        from mailbell.web.service import WebServer

        servers = list(self.ioservers.values())
        relay = next((each for each in self.settings.sinks.values() if isinstance(each, SmtpSettings)), None)
        parts = Parts(
            mailbox=inbox,
            journal=self.journal,
            item=self._feed.item,
            deliveries=self.deliveries,
            chaos=lambda: [server.chaos for server in servers],
            ioserver=servers[0].id,
            release=None if relay is None else Release(relay),
            clock=self.clock,
            version=__version__,
            database=str(self.settings.data / "index.db"),
        )
        server = WebServer(parts, engine, self.settings.web, self._web_context())
        try:
            await server.start()
        except ListenError as error:
            if self.settings.web != WebSettings():
                raise
            logger.warning("%s; mail is taken without the API", error)
        else:
            stack.push_async_callback(server.stop)
            self.url = server.url

    def _web_context(self) -> ssl.SSLContext | None:
        """For HTTPS, by the same rules as SMTP."""
        web = self.settings.web
        if not web.tls:
            return None
        return TlsContext(self._certificate(web, self.settings.data, hostname()), "1.2").following()

    async def reload(self, settings: ServiceSettings) -> None:
        """Go on with these settings, as far as that needs no restart. No connection and no event is lost."""
        found = list(changes(self.settings, settings))
        for change in found:
            logger.info("reload: %s%s", change, "" if _is_live(change.key) else "; this needs a restart")
        if not found:
            logger.info("reload: nothing has changed")
        for id_, each in settings.ioservers.items():
            if id_ in self.ioservers:
                self.ioservers[id_].use(each)
        self._feed.use(_convert_options(settings))
        self.settings = settings
        gone = self.deliveries.keys() - settings.sinks.keys()
        await asyncio.gather(
            *(self.deliveries.remove(name) for name in gone),
            *(self._renew(name, each) for name, each in settings.sinks.items()),
        )
        logger.info("reload: done")

    async def _renew(self, name: str, settings: SinkSettings) -> None:
        """Serve the sink as it is now in the settings."""
        try:
            await self.deliveries.serve(name, settings)
        except Exception:  # whatever a sink's making may do: the others go on
            logger.exception("reload: sink %s can't be made; it stays as it was", name)

    async def _trim(self) -> None:
        while True:
            await self.journal.trim()
            if self.inbox is not None:
                with suppress(InboxUnavailable):  # the inbox says so itself, and the next round makes it good
                    await self.inbox.follow_retention()
            await asyncio.sleep(TRIM_EVERY)

    def announce(self) -> None:
        """The first lines of `serve`: what listens where, where the data is, and how to send a first mail."""
        loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
        logger.info("mailbell %s, Python %s on %s", __version__, platform.python_version(), loop)
        for id_, server in self.ioservers.items():
            logger.info("I/O server %s: SMTP on %s", id_, ", ".join(server.addresses))
        for name, sink in self.settings.sinks.items():
            logger.info("sink %s: %s", name, sink.describe())
        if self.url is not None:
            logger.info("API on %s", self.url)
        logger.info("data in %s", self.settings.data.resolve())
        for server in list(self.ioservers.values())[:1]:
            logger.info("send a first mail: %s send --server 127.0.0.1:%d", _program(), server.port)


class Release:
    """Hands mail on by way of a sink's mail server, for the API."""

    def __init__(self, settings: SmtpSettings) -> None:
        self.server = f"{settings.host}:{settings.port or 25}"
        self._settings = settings

    async def __call__(self, item: Converted, recipients: Sequence[str]) -> None:
        """Hand on to these; NotReleased when the server won't have it."""
        from mailbell.sinks.smtp import SmtpSink
        from mailbell.web.ports import NotReleased

        literal = tuple(each.replace("{", "{{").replace("}", "}}") for each in recipients)
        sink = SmtpSink("release", msgspec.structs.replace(self._settings, rcpt_to=literal))
        try:
            await sink.start()
            outcome = await sink.deliver(item)
        except SinkUnavailable as error:
            raise NotReleased(str(error)) from error
        finally:
            await sink.stop()
        if not isinstance(outcome, Delivered):
            raise NotReleased(outcome.reason)


def _tap(clock: Clock) -> "Tap":
    from mailbell.web.tap import Tap  # with aiohttp, which takes its time to import

    return Tap(clock)


def _convert_options(settings: ServiceSettings) -> dict[str, ConvertOptions]:
    return {
        id_: ConvertOptions(rawbody=each.rawbody, charset=each.charset)
        for id_, each in settings.ioservers.items()
    }


def _is_live(key: str) -> bool:
    """Whether a change of this key holds without a restart."""
    room, _, rest = key.partition(".")
    return room == "sinks" or (room == "ioservers" and "." in rest and rest.split(".")[1] in LIVE)


async def _align(alignment: Alignment) -> None:
    late = await alignment.run()
    if late:
        logger.error("not every sink came up in time; events flow without %s", ", ".join(late))
    await asyncio.Event().wait()


def _program() -> str:
    """How the user calls us: plain `mailbell` where it is on the path."""
    if shutil.which("mailbell"):
        return "mailbell"
    called = Path(sys.argv[0])
    return f"{sys.executable} -m mailbell" if called.name == "__main__.py" else str(called)
