"""The process of the delivering half: `python -m mailbell.child DESCRIPTOR`, as `processes` starts it."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from mailbell.clock import SystemClock
from mailbell.delivering import Delivering
from mailbell.delivery.deference import Deference
from mailbell.errors import JournalError, MailbellError
from mailbell.link import Link
from mailbell.log import Log
from mailbell.loops import loop_factory
from mailbell.mail import Mail
from mailbell.reception import Figures, IoServerStatus, Session
from mailbell.settings import ChaosRule, ChaosSettings, ServiceSettings

NICENESS = 10
"""When both halves want the processor, the 250 comes first: this one has a tenth of its share.

In a group of its own, a Ctrl-C is the parent's alone. Not in a session of its own: Linux shares the processor
out among sessions first (sched(7), autogroup), and niceness would count for nothing between the two.
"""


class RemoteReception:
    """`Reception`, from the child."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def ioservers(self) -> Sequence[IoServerStatus]:
        """How each I/O server is doing."""
        found: Sequence[IoServerStatus] = await self._link.call("ioservers")
        return found

    async def figures(self) -> Figures:
        """What there is to measure of the process."""
        found: Figures = await self._link.call("figures")
        return found

    async def trouble(self) -> str | None:
        """Why no mail is taken at present."""
        found: str | None = await self._link.call("trouble")
        return found

    async def ha_active(self, active: bool) -> None:
        """This node has become the active one, or no longer is."""
        await self._link.call("ha_active", active)

    async def sessions(self, limit: int, *, failed: bool) -> Sequence[Session]:
        """The last connections, newest first."""
        found: Sequence[Session] = await self._link.call("sessions", limit, failed)
        return found

    async def session(self, number: int) -> Session | None:
        """One with its lines."""
        found: Session | None = await self._link.call("session", number)
        return found

    async def refused(self) -> list[int]:
        """Connections that brought no mail, by the minute."""
        found: list[int] = await self._link.call("refused")
        return found

    async def chaos(self) -> ChaosSettings:
        """The failures on purpose at present."""
        found: ChaosSettings = await self._link.call("chaos")
        return found

    async def set_chaos(self, rules: dict[str, ChaosRule]) -> None:
        """Change these of them."""
        await self._link.call("set_chaos", rules)


class RemoteWriting:
    """`Writing` of the journal, from the child; the parent sets both attributes."""

    def __init__(self, link: Link, last_sequence: int) -> None:
        self._link = link
        self.last_sequence = last_sequence
        self.trouble: JournalError | None = None

    def append(self, mail: Mail) -> asyncio.Future[int]:
        """Store the mail."""
        return asyncio.ensure_future(self._link.call("append", mail))

    async def remove(self, sequences: Sequence[int]) -> None:
        """Remove these mails."""
        await self._link.call("remove", sequences)

    async def shrink(self) -> bool:
        """Give some free pages back to the disk; False when few enough are left."""
        more: bool = await self._link.call("shrink")
        return more

    async def close(self) -> None:
        """It is the parent's to close."""


class Child:
    """The child: a Delivering that does what the parent says."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._link: Link
        self._writing: RemoteWriting
        self._delivering: Delivering
        self._log: Log
        self._closed = False

    async def run(self, descriptor: int) -> bool:
        """Serve until the parent is gone; whether it took its leave."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(signum, lambda: None)  # the parent says what is to be done
        calls = ("start", "open", "stored", "trouble", "logged", "use", "close")
        handlers = {name: getattr(self, name) for name in calls}
        self._link = await Link.open(socket.socket(fileno=descriptor), handlers)
        await self._link.lost()
        return self._closed

    async def start(self, settings: ServiceSettings, folder: Path, last_sequence: int) -> None:
        """See Delivering."""
        clock = SystemClock()
        self._log = self._stack.enter_context(Log(settings.log, folder, clock))
        self._writing = RemoteWriting(self._link, last_sequence)
        reception = RemoteReception(self._link)
        deference = Deference.to(os.getppid(), clock)
        self._delivering = Delivering(
            settings, folder, reception, self._writing, clock, self._failed, deference=deference
        )
        await self._delivering.start()
        self._stack.push_async_callback(self._delivering.close)

    def _failed(self, error: MailbellError) -> None:
        """The parent starts another one, which begins with what is there then."""
        self._log.stop()
        os._exit(1)

    async def open(self, ioservers: Sequence[str]) -> str | None:
        """See Delivering."""
        return await self._delivering.open(ioservers)

    def stored(self, sequence: int) -> None:
        """See Delivering."""
        self._writing.last_sequence = sequence
        self._delivering.stored(sequence)

    def trouble(self, trouble: JournalError | None) -> None:
        """Hear why no mail is taken."""
        self._writing.trouble = trouble

    def logged(self, name: str, level: int, text: str) -> None:
        """Show on the page what the parent has logged; it is in the log already."""
        self._delivering.tap.handle(logging.LogRecord(name, level, "", 0, text, None, None))

    async def use(self, settings: ServiceSettings) -> None:
        """See Delivering."""
        await self._delivering.use(settings)

    async def close(self) -> None:
        """See Delivering."""
        await self._stack.aclose()
        self._closed = True


def main() -> None:
    """Run the child. Without its parent there is nothing left for it to do, and nobody to wait for."""
    os.setpgid(0, 0)
    os.nice(NICENESS)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        if not runner.run(Child().run(int(sys.argv[1]))):
            os._exit(1)


if __name__ == "__main__":
    main()
