"""The delivering half: from the journal to the sinks and the inbox, and what tells of it all: the API.

```
Journal ─▶ Delivery of the Monitor (data points, IO MONITOR) ─▶ Delivery of each sink
      └──▶ Inbox (index) ◀── WebServer, ControlSocket
```
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mailbell import __version__, node
from mailbell.clock import Clock
from mailbell.delivery.activity import Activity
from mailbell.delivery.alignment import Alignment
from mailbell.delivery.consumer import Delivery
from mailbell.delivery.deference import Deference
from mailbell.delivery.deliveries import Deliveries
from mailbell.delivery.feed import Feed
from mailbell.delivery.keep import keep_running
from mailbell.delivery.monitor import EVERYTHING, Monitor, Watermark
from mailbell.delivery.pace import Pace
from mailbell.errors import InboxUnavailable, JournalUnavailable, ListenError, MailbellError, SinkUnavailable
from mailbell.event.convert import Converted, ConvertOptions
from mailbell.event.date import moment_of
from mailbell.inbox.index import Inbox
from mailbell.journal.base import Consumer
from mailbell.journal.sqlite import SqliteJournal
from mailbell.masking import effective
from mailbell.reception import Reception
from mailbell.scripting.state import IoState
from mailbell.server.ioserver import hostname
from mailbell.server.tls import TlsContext, certificate_of
from mailbell.settings import INBOX, MONITOR, ServiceSettings, SinkSettings, SmtpSettings, WebSettings
from mailbell.sinks.base import Delivered

if TYPE_CHECKING:
    from mailbell.journal.jetstream import JetStreamJournal, Receives
    from mailbell.web.ports import Engine
    from mailbell.web.tap import Tap

STOP_MONITOR = 1.0
"""Seconds that what is in flight to the monitor has to finish on stop."""

TRIM_EVERY = 600.0
INBOX_SHARE = 0.05
"""The part of the loop's time that the inbox may take while mail comes in: some hundred mails a second."""

logger = logging.getLogger("mailbell")


class Delivering:
    """`start`, and once the I/O servers listen `open`; at the end `close`."""

    def __init__(
        self,
        settings: ServiceSettings,
        folder: Path,
        reception: Reception,
        writing: "Receives",
        clock: Clock,
        failed: Callable[[MailbellError], None],
        *,
        control: bool = True,
        deference: Deference | None = None,
    ) -> None:
        """`writing` is the journal's other half. `failed` is called when only a new start is of any help.

        `control`: with a socket for the command line. `deference`: to the process that receives.
        """
        self._settings = settings
        self._folder = folder
        self._reception = reception
        self._writing = writing
        self._clock = clock
        self._failed = failed
        self._control = control
        self._deference = deference
        self._state = IoState()
        self._stack = AsyncExitStack()
        self._feed: Feed
        self.tap: Tap
        self._mark: Watermark
        self._monitor: Monitor
        self.journal: SqliteJournal | JetStreamJournal
        self.activity: Activity
        self.deliveries: Deliveries
        self.inbox: Inbox | None = None

    async def start(self) -> None:
        """Take up the consumers: from here on no mail is missed. DataError when delivery.db is no use."""
        async with AsyncExitStack() as stack:
            if self._is_asked:
                self.tap = stack.enter_context(_tap(self._clock))
            await self._start(stack)
            self._stack = stack.pop_all()

    async def open(self, ioservers: Sequence[str]) -> str | None:
        """Answer questions, now that these I/O servers listen; the web server's URL.

        ListenError where a chosen address can't be had.
        """
        for id_ in ioservers:
            await self.deliveries.listening(id_)
        if not self._is_asked:
            return None
        engine = self._engine()
        if self._control:
            await self._start_control(self._stack, engine)
        if self.inbox is None:
            return None
        return await self._start_web(self._stack, self.inbox, engine, ioservers[0])

    @property
    def _is_asked(self) -> bool:
        """Whether anybody can ask. Else nothing of the API is imported, nor listens to the log."""
        return self._control or self._settings.web.listen != "off"

    def stored(self, sequence: int) -> None:
        """Hear of the newest mail that is on stable storage."""
        self.journal.stored_up_to(sequence)

    async def use(self, settings: ServiceSettings) -> None:
        """Go on with these settings, as far as that needs no restart. No event is lost."""
        self._feed.use(_convert_options(settings))
        self._settings = settings
        gone = self.deliveries.keys() - settings.sinks.keys()
        await asyncio.gather(
            *(self.deliveries.remove(name) for name in gone),
            *(self._renew(name, each) for name, each in settings.sinks.items()),
        )

    async def close(self) -> None:
        """Let what is in flight finish; the rest comes after the next start."""
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        """Each part is started after, and so stopped before, those that it needs."""
        settings = self._settings
        self.journal, self.activity = await node.open_delivering(
            stack, settings, self._folder, self._writing, self._clock
        )
        self.journal.on_broken = self._failed
        # Asked for before the first trim, which would else not wait for it.
        reader = await self.journal.consumer(INBOX, own=True) if settings.web.listen != "off" else None
        await self._start_deliveries(stack)
        if reader is not None:
            self._start_inbox(stack, reader)
        self.activity.hears.append(self._reception.ha_active)
        keep_running(stack, "high availability", self.activity.run)

    async def _start_deliveries(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        feed = self._feed = Feed(self.journal, _convert_options(settings))
        early = (id_ for id_, each in settings.ioservers.items() if each.startupevents)
        alignment = Alignment([MONITOR, *settings.sinks], early)
        first = await self.journal.consumer(MONITOR, own=True)
        mark = self._mark = Watermark(lambda: first.position)
        self._monitor = Monitor(self._state, self._clock)
        monitor = Delivery(
            self._monitor,
            first,
            EVERYTHING,
            feed,
            alignment,
            self._clock,
            on_delivered=mark.move,
            in_turn=True,
            deference=self._deference,
        )
        stack.push_async_callback(monitor.drain, STOP_MONITOR)
        keep_running(stack, "the IO MONITOR", monitor.run)
        self.deliveries = Deliveries(
            self.journal,
            feed,
            alignment,
            self._clock,
            self._state,
            behind=mark,
            activity=self.activity,
            deference=self._deference,
        )
        stack.push_async_callback(self.deliveries.close)
        for name, each in settings.sinks.items():
            await self.deliveries.serve(name, each)
        keep_running(stack, "alignment", lambda: _align(self.activity, alignment))
        keep_running(stack, "retention", self._trim)

    def _start_inbox(self, stack: AsyncExitStack, consumer: Consumer) -> None:
        """While mail is coming in it may be behind: nothing waits for it."""
        pace = Pace(self._clock, lambda: self.journal.last_sequence, INBOX_SHARE)
        path = self._folder / "index.db"
        self.inbox = Inbox(path, self.journal, consumer, self._feed.item, pace.keep, self._clock)
        stack.push_async_callback(self.inbox.close)
        keep_running(stack, "the inbox", self.inbox.run)

    async def _start_control(self, stack: AsyncExitStack, engine: "Engine") -> None:
        """The socket over which the command line asks what is going on."""
        from mailbell.web import importing, own  # with aiohttp, which takes its time to import
        from mailbell.web.control import ControlSocket
        from mailbell.web.streams import Streams

        streams = Streams()
        routes = [*own.routes(engine, streams), importing.route(self.journal)]
        control = ControlSocket(self._folder, routes, streams)
        try:
            await control.start()
        except ListenError as error:  # a shared folder of a virtual machine: no reason to take no mail
            logger.warning("%s; the command line can't ask this server", error)
        else:
            stack.push_async_callback(control.stop)

    def _engine(self) -> "Engine":
        """What delivers, for the API."""
        from mailbell.web.ports import Availability, Engine

        async def availability() -> Availability:
            found = self.activity.lease.standing
            if found.mode == "single":
                return Availability(mode="single", active=True, node=None, since=None, holder=None)
            since = moment_of(found.since)
            return Availability(
                mode=found.mode, active=found.active, node=found.node, since=since, holder=found.holder
            )

        return Engine(
            version=__version__,
            folder=self._folder,
            clock=self._clock,
            journal=self.journal,
            item=self._feed.item,
            deliveries=self.deliveries,
            reception=self._reception,
            find=None if self.inbox is None else self.inbox.sequence_of,
            head=self._mark,
            arrivals=self._monitor,
            points=self._state.points,
            tap=self.tap,
            availability=availability,
            config=lambda: effective(self._settings),
        )

    async def _start_web(
        self, stack: AsyncExitStack, inbox: Inbox, engine: "Engine", ioserver: str
    ) -> str | None:
        """Where nobody has chosen the port, that it is taken is no reason to take no mail."""
        from mailbell.web.ports import Parts
        from mailbell.web.service import WebServer

        settings = self._settings
        relay = next((each for each in settings.sinks.values() if isinstance(each, SmtpSettings)), None)
        parts = Parts(
            mailbox=inbox,
            journal=self.journal,
            item=self._feed.item,
            deliveries=self.deliveries,
            reception=self._reception,
            ioserver=ioserver,
            release=None if relay is None else Release(relay),
            clock=self._clock,
            version=__version__,
            database=str(self._folder / "index.db"),
        )
        server = WebServer(parts, engine, settings.web, self._web_context())
        try:
            await server.start()
        except ListenError as error:
            if settings.web != WebSettings():
                raise
            logger.warning("%s; mail is taken without the API", error)
            return None
        stack.push_async_callback(server.stop)
        return server.url

    def _web_context(self) -> ssl.SSLContext | None:
        """For HTTPS, by the same rules as SMTP."""
        if not self._settings.web.tls:
            return None
        certificate = certificate_of(self._settings.web, self._folder, hostname(), self._clock)
        return TlsContext(certificate, "1.2").following()

    async def _renew(self, name: str, settings: SinkSettings) -> None:
        """Serve the sink as it is now in the settings."""
        try:
            await self.deliveries.serve(name, settings)
        except Exception:  # whatever a sink's making may do: the others go on
            logger.exception("reload: sink %s can't be made; it stays as it was", name)

    async def _trim(self) -> None:
        while True:
            with suppress(JournalUnavailable):  # a cluster without a quorum: mail stays, the next round comes
                await self.journal.trim()
            if self.inbox is not None:
                with suppress(InboxUnavailable):  # the inbox says so itself, and the next round makes it good
                    await self.inbox.follow_retention()
            await asyncio.sleep(TRIM_EVERY)


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


async def _align(activity: Activity, alignment: Alignment) -> None:
    await activity.until_active()  # until then only scripts come up
    late = await alignment.run()
    if late:
        logger.error("not every sink came up in time; events flow without %s", ", ".join(late))
    await asyncio.Event().wait()
