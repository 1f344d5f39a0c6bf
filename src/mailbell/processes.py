"""The delivering half in a process of its own, so that it can't hold up the 250, whatever it does.

```
receiving: SMTP ─▶ journal.db ─▶ "stored" ──────────┐
             ▲                                 delivering: journal.db ─▶ sinks, inbox, API
             └── append, remove, sessions, chaos … ─┘
```
The receiving process is the parent. It starts the other one again when that dies; the journal knows how far
everything had come. When the parent dies, the child ends at once.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from mailbell.errors import MailbellError, StartupError
from mailbell.journal.folder import DataFolder
from mailbell.journal.positions import DELIVERY, place
from mailbell.journal.writer import Writer
from mailbell.link import Link, LinkLost
from mailbell.receiving import Receiving
from mailbell.settings import ServiceSettings

STOP = 20.0
"""Seconds that the child has to finish what is in flight on stop: longer than any sink has."""

LOOK_EVERY = 1.0
AGAIN = 1.0
"""Seconds between two looks at the journal's trouble, and until a child that died is started again."""

logger = logging.getLogger("mailbell")


class _Forward(logging.Handler):
    """What this half logs is shown on the page, too, which is the other half's."""

    def __init__(self, tell: Callable[..., None]) -> None:
        super().__init__()
        self._tell = tell
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        line = record.name, record.levelno, record.getMessage()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody looks any more
            self._loop.call_soon_threadsafe(self._tell, "logged", *line)


class DeliveringProcess:
    """The delivering half as the parent sees it; see `mailbell.delivering.Delivering`."""

    def __init__(self, settings: ServiceSettings, folder: DataFolder, receiving: Receiving) -> None:
        self._settings = settings
        self._folder = folder
        self._receiving = receiving
        self._ioservers: Sequence[str] = ()
        self._process: asyncio.subprocess.Process
        self._link: Link
        self._begun = False
        """Has a child taken up its work? One that has died since is told, too, and hears nothing."""
        self._changing = asyncio.Lock()
        self._keeping: list[asyncio.Task[None]] = []
        self._forward: _Forward | None = None

    async def start(self) -> None:
        """See to it that no mail is missed from here on; StartupError.

        A child takes a second to start. Where its new consumers can be given their place from here, mail is
        taken meanwhile: it starts in `open`. In a cluster it has to do that itself.
        """
        writer = self._receiving.writer
        if isinstance(writer, Writer):
            file, names = self._folder.path / DELIVERY, self._settings.consumers
            await asyncio.to_thread(place, file, names, writer.last_sequence)
        else:
            await self._begin()

    async def open(self, ioservers: Sequence[str]) -> str | None:
        """Have it answer questions; see Delivering.open. From here on a child that dies is replaced."""
        self._ioservers = ioservers
        if not self._begun:
            await self._begin()
        try:
            url: str | None = await self._link.call("open", ioservers)
        except LinkLost as error:
            raise StartupError(f"the delivering process has ended: {error}") from error
        self._keeping = [asyncio.create_task(work()) for work in (self._keep, self._tell_trouble)]
        self._forward = _Forward(self._tell)
        logging.getLogger("mailbell").addHandler(self._forward)
        return url

    def stored(self, sequence: int) -> None:
        """Tell of the newest mail that is on stable storage."""
        self._tell("stored", sequence)

    async def use(self, settings: ServiceSettings) -> None:
        """Have it go on with these settings."""
        async with self._changing:
            self._settings = settings
            with contextlib.suppress(LinkLost):  # the next child begins with them
                await self._link.call("use", settings)

    async def close(self) -> None:
        """Let what is in flight finish, and the child end."""
        if self._forward is not None:
            logging.getLogger("mailbell").removeHandler(self._forward)
        for task in self._keeping:
            task.cancel()
        if self._keeping:
            await asyncio.wait(self._keeping)  # one may be ending a child that had not begun
        if self._begun:
            with contextlib.suppress(LinkLost, TimeoutError):
                async with asyncio.timeout(STOP):
                    await self._link.call("close")
            await self._end()

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "mailbell.child", str(descriptor)),
                pass_fds=(descriptor, self._folder.descriptor),  # so it holds the folder, too
                stdin=asyncio.subprocess.DEVNULL,
            )
        self._link = await Link.open(ours, self._handlers())

    def _handlers(self) -> dict[str, Callable[..., Any]]:
        it, writer = self._receiving, self._receiving.writer
        own: dict[str, Callable[..., Any]] = (
            {"remove": writer.remove, "shrink": writer.shrink} if isinstance(writer, Writer) else {}
        )
        return {
            **own,
            "append": writer.append,
            "ha_active": it.ha_active,
            "ioservers": it.ioservers,
            "figures": it.figures,
            "trouble": it.trouble,
            "sessions": lambda limit, failed: it.sessions(limit, failed=failed),
            "session": it.session,
            "refused": it.refused,
            "chaos": it.chaos,
            "set_chaos": it.set_chaos,
        }

    async def _begin(self) -> None:
        """A new child, that has taken up its work; StartupError as it says it."""
        self._begun = False
        async with AsyncExitStack() as stack:
            await self._spawn()
            stack.push_async_callback(self._end)
            last = self._receiving.writer.last_sequence
            try:
                await self._link.call("start", self._settings, self._folder.path, last)
            except LinkLost as error:
                raise StartupError("the delivering process does not start; see the lines above") from error
            stack.pop_all()
        self._begun = True
        self.stored(self._receiving.writer.last_sequence)  # what came meanwhile

    def _tell(self, name: str, *what: object) -> None:
        """A child that is just starting can't hear; it is told all when it has."""
        if self._begun:
            self._link.tell(name, *what)

    async def _keep(self) -> None:
        """Have one that lives."""
        while True:
            await self._link.lost()
            status = await self._process.wait()
            logger.error("the delivering process has died (status %d); it is started again", status)
            await asyncio.sleep(AGAIN)
            async with self._changing:
                try:
                    await self._begin()
                    await self._link.call("open", self._ioservers)
                except (MailbellError, OSError) as error:
                    logger.error("delivering: %s", error)
                    await self._end()

    async def _tell_trouble(self) -> None:
        told: tuple[Link, str] | None = None
        while True:
            trouble = self._receiving.writer.trouble
            if self._begun and told != (self._link, str(trouble)):
                told = self._link, str(trouble)
                self._tell("trouble", trouble)
            await asyncio.sleep(LOOK_EVERY)

    async def _end(self) -> None:
        """The child sees the end of the link, and ends."""
        self._link.close()
        try:
            async with asyncio.timeout(STOP):
                await self._process.wait()
        except TimeoutError:
            logger.error("the delivering process does not end; it is killed")
            self._process.kill()
            await self._process.wait()
