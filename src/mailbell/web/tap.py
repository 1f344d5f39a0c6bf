"""The last lines of the log, and each new one, for those who watch."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from types import TracebackType
from typing import Literal, Self

import msgspec

from mailbell.clock import Clock
from mailbell.event.date import moment
from mailbell.web.streams import PULSE, Message, Source

KEEP = 2000
FIRST = 200
"""Lines that are kept, and of these what one who has seen none yet gets."""

TEXT = 8192
"""Characters of a line: a mail's body may be a megabyte, and this is for people to read."""


class Line(msgspec.Struct, frozen=True):
    """A line of the log. `source`: io, script, or the part of the program that says it."""

    at: str
    level: Literal["info", "error"]
    source: str
    text: str


class _Kept:
    """A line, made ready to be sent once somebody looks."""

    def __init__(self, number: int, at: float, record: logging.LogRecord) -> None:
        self.number = number
        self._at = at
        self._error = record.levelno >= logging.ERROR
        self._source = record.name.removeprefix("mailbell").lstrip(".").partition(".")[0] or "mailbell"
        text = record.getMessage()
        self._text = text if len(text) <= TEXT else text[:TEXT] + "…"

    @cached_property
    def data(self) -> bytes:
        """As JSON."""
        level: Literal["info", "error"] = "error" if self._error else "info"
        text = self._text.encode("utf-8", "replace").decode()
        return msgspec.json.encode(Line(moment(int(self._at * 1000)), level, self._source, text))


class Tap(logging.Handler):
    """Keeps the last lines of the log. A context manager: attached while it is open."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._lines: deque[_Kept] = deque(maxlen=KEEP)
        self._last = 0
        self._begun = f"{int(clock.time() * 1000):x}"
        """Tells one run of the server from another: numbers begin anew."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._moved = asyncio.Event()
        self._waiting = 0
        self._ringing = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line; in whatever thread, under the handler's lock."""
        try:
            line = _Kept(self._last + 1, self._clock.time(), record)
        except Exception:  # noqa: BLE001  arguments that don't fit the message, a __str__ that raises
            self.handleError(record)
            return
        self._last = line.number
        self._lines.append(line)
        if self._waiting and self._loop is not None and not self._ringing.is_set():
            self._ringing.set()
            self._loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        self._ringing.clear()
        self._moved.set()
        self._moved = asyncio.Event()

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        logging.getLogger().addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self)
        self._loop = None

    def position(self, id_: str) -> int:
        """The number of the line with this ID; of an unknown one, what leaves the last lines to come."""
        begun, _, number = id_.partition("-")
        if begun == self._begun and number.isascii() and number.isdecimal() and len(number) < 19:
            return min(int(number), self._last)
        return max(0, self._last - FIRST)

    def after(self, number: int) -> Sequence[_Kept]:
        """The lines behind this one that are still kept."""
        self.acquire()
        try:
            return list(islice(reversed(self._lines), max(0, self._last - number)))[::-1]
        finally:
            self.release()

    async def beyond(self, number: int) -> None:
        """Return once there is a line behind this one."""
        self._waiting += 1
        try:
            while self._last <= number:
                await self._moved.wait()
        finally:
            self._waiting -= 1

    async def follow(self, number: int) -> Source:
        """The lines behind this one, for ever; until so many come that some would be missed."""
        lines = self.after(number)
        while True:
            for line in lines:
                yield Message(f"{self._begun}-{line.number}", "line", line.data)
                number = line.number
            try:
                async with asyncio.timeout(PULSE):
                    await self.beyond(number)
            except TimeoutError:
                yield None
            lines = self.after(number)
            if lines and lines[0].number != number + 1:
                return
