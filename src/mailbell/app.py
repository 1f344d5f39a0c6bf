"""The composer: builds the two halves of the program, lets them know each other, runs, and drains.

```
Receiving: I/O servers ─▶ journal ─▶ Delivering: sinks, inbox, API
```
The halves share a process or have one each; see `receiving`, `delivering` and `processes`.
"""

import asyncio
import logging
import platform
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from mailbell import __version__, systemd
from mailbell.changes import changes
from mailbell.clock import Clock, SystemClock
from mailbell.delivery.keep import keep_running
from mailbell.errors import ConfigError, MailbellError, StartupError
from mailbell.journal.folder import DataFolder
from mailbell.log import Log
from mailbell.loops import loop_factory
from mailbell.receiving import Receiving
from mailbell.server.ioserver import LIVE
from mailbell.settings import ServiceSettings

if TYPE_CHECKING:
    from mailbell.delivering import Delivering
    from mailbell.processes import DeliveringProcess

logger = logging.getLogger("mailbell")


Read = Callable[[], ServiceSettings]


def run(settings: ServiceSettings, read: Read) -> int:
    """Serve until SIGINT or SIGTERM; the exit status. StartupError when the machine does not allow it.

    On SIGHUP the settings are `read` again.
    """
    _take_files()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(settings, read))
    return 0


async def _serve(settings: ServiceSettings, read: Read) -> None:
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, _on_signal, stop, signum)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    apart, sockets = settings.processes == 2, systemd.Sockets()
    async with App(settings, apart=apart, sockets=sockets) as app, AsyncExitStack() as stack:
        app.announce()
        keep_running(stack, "reload", lambda: _reload_when(reload, app, read))
        if interval := systemd.watchdog_interval():
            keep_running(stack, "the watchdog", lambda: systemd.keep_watch(interval))
        systemd.notify("READY=1")
        await _first(stop, app.failed)
        systemd.notify("STOPPING=1")
        logger.info("stopping")


async def _first(stop: asyncio.Event, failed: asyncio.Future[None]) -> None:
    """Wait to be stopped, or for the error that ends it."""
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((stopping, failed), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if failed.done():
        await failed


async def _reload_when(asked: asyncio.Event, app: "App", read: Read) -> None:
    while True:
        await asked.wait()
        asked.clear()
        systemd.reloading()
        try:
            settings = await asyncio.to_thread(read)
        except ConfigError as error:
            for problem in error.problems:
                logger.error("reload: %s", problem)
            logger.error("reload: the settings stay as they were")
        else:
            await app.reload(settings)
        systemd.notify("READY=1")


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


class App:
    """The whole program; `async with` starts and drains it."""

    def __init__(
        self,
        settings: ServiceSettings,
        clock: Clock | None = None,
        *,
        apart: bool = False,
        embedded: bool = False,
        sockets: systemd.Sockets | None = None,
    ) -> None:
        """`apart`: delivering has a process of its own. `sockets` were handed over to listen on.

        `embedded`: a guest in another program, which does without its own log and control socket.
        """
        self.settings = settings
        self.receiving: Receiving
        self.delivering: Delivering | DeliveringProcess
        self.failed: asyncio.Future[None]
        """Ends with the error with which it can't go on, and a new start can."""
        self.url: str | None = None
        """Where the web server answers."""
        self.clock = clock or SystemClock()
        self._apart = apart
        self._embedded = embedded
        self._sockets = sockets or systemd.Sockets({})
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "App":
        self.failed = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        """Consumers are there before the first mail, and mail is refused before deliveries end."""
        settings = self.settings
        folder = stack.enter_context(DataFolder(settings.data))
        if not self._embedded:
            stack.enter_context(Log(settings.log, folder.path, self.clock))
            stack.callback(logger.info, "stopped")
        receiving = self.receiving = Receiving(settings, folder, self.clock)
        await receiving.open()
        stack.push_async_callback(receiving.close)
        delivering = self.delivering = self._deliver(folder)
        await delivering.start()
        stack.push_async_callback(delivering.close)
        receiving.writer.stored = delivering.stored
        with self._sockets:
            await receiving.listen(self._sockets.take)
        stack.push_async_callback(receiving.stop)
        self.url = await delivering.open(list(receiving.servers))

    def _deliver(self, folder: DataFolder) -> "Delivering | DeliveringProcess":
        """Only what this process needs is imported."""
        if self._apart:
            from mailbell.processes import DeliveringProcess

            return DeliveringProcess(self.settings, folder, self.receiving)
        from mailbell.delivering import Delivering

        writer = self.receiving.writer
        control = not self._embedded
        return Delivering(
            self.settings, folder.path, self.receiving, writer, self.clock, self._failed, control=control
        )

    def _failed(self, error: MailbellError) -> None:
        if not self.failed.done():
            self.failed.set_exception(StartupError(str(error)))

    async def reload(self, settings: ServiceSettings) -> None:
        """Go on with these settings, as far as that needs no restart. No connection and no event is lost."""
        found = list(changes(self.settings, settings))
        for change in found:
            logger.info("reload: %s%s", change, "" if _is_live(change.key) else "; this needs a restart")
        if not found:
            logger.info("reload: nothing has changed")
        self.settings = settings
        self.receiving.use(settings)
        await self.delivering.use(settings)
        logger.info("reload: done")

    def announce(self) -> None:
        """The first lines of `serve`: what listens where, where the data is, and how to send a first mail."""
        loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
        logger.info("mailbell %s, Python %s on %s", __version__, platform.python_version(), loop)
        for id_, server in self.receiving.servers.items():
            where = ", ".join(server.addresses)
            logger.info(
                "I/O server %s: %s", id_, f"SMTP on {where}" if where else "closed until this node is active"
            )
        for name, sink in self.settings.sinks.items():
            logger.info("sink %s: %s", name, sink.describe())
        if self.url is not None:
            logger.info("API on %s", self.url)
        logger.info("data in %s", self.settings.data.resolve())
        for server in list(self.receiving.servers.values())[:1]:
            logger.info("send a first mail: %s send --server 127.0.0.1:%d", _program(), server.port)


def _is_live(key: str) -> bool:
    """Whether a change of this key holds without a restart."""
    room, _, rest = key.partition(".")
    return room == "sinks" or (room == "ioservers" and "." in rest and rest.split(".")[1] in LIVE)


def _program() -> str:
    """How the user calls us: plain `mailbell` where it is on the path."""
    if shutil.which("mailbell"):
        return "mailbell"
    called = Path(sys.argv[0])
    return f"{sys.executable} -m mailbell" if called.name == "__main__.py" else str(called)
