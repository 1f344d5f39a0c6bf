"""The log: a file a day in the data folder, and the terminal; one event, one line, no line can be forged.

Theory of operation. `Log` puts one handler on the root logger. The caller's share is to format the line and
to put it in the queue of each writer: no system call, no waiting. Each writer is a thread of its own (a
terminal stopped with Ctrl-S must not hold up the file) that gathers lines for some milliseconds and writes
them in one go. The file is opened for each such batch: so midnight, a jump of the clock, a disk that comes
back and a file that somebody removed need no code of their own. While the disk refuses, lines are kept up
to `MOST_PENDING`, and tried again each second. Both processes of the program write to the same places, so
each batch is written under a lock.
"""

import fcntl
import logging
import os
import queue
import re
import select
import sys
import threading
import time
from contextlib import suppress
from datetime import date
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

import msgspec

from mailbell.clock import Clock
from mailbell.settings import LogSettings

GATHER = 0.005
"""Seconds from the first line of a batch to its writing. Each wake-up takes the GIL from the event loop."""

RETRY = 1.0
"""Seconds between two tries to write to a disk that refuses."""

MOST_PENDING = 16 * 2**20
"""Characters that wait for a slow or failing disk; lines beyond are counted, and the count is logged."""

STOP_WITHIN = 5.0
"""Seconds that a writer has on stop for what is pending: a stopped terminal might never take it."""

UNUSED = {
    "_srcfile": None,
    "logThreads": False,
    "logProcesses": False,
    "logMultiprocessing": False,
    "logAsyncioTasks": False,
}
"""What `logging` need not find out for a line, since no line shows it: a quarter of what a line costs
(Python's logging HOWTO, "Optimization").
"""

_FILE = re.compile(r"(\d{4})/(\d{4})-message\.log", re.ASCII)
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: line breaks, terminal sequences
    "\u2028\u2029"  # line breaks too, if you ask Unicode
    "\u202a-\u202e\u2066-\u2069"  # what makes a line read in another order than it stands
    "\ud800-\udfff]"  # halves of surrogate pairs: no encoding takes them
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

logger = logging.getLogger("mailbell.log")


def escape(text: str) -> str:
    r"""Make text safe for a line of a log or a terminal: `\n`, `\x1b`, `\u202e` for what acts there."""
    return text if text.isprintable() else _UNSAFE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return _SHORT.get(found[0]) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


class _Second(NamedTuple):
    """A second of local time in the forms that the log needs."""

    file: str
    hsyco: str
    rfc3339: str
    offset: str


def _local(second: int) -> _Second:
    local = time.localtime(second)
    sign, minutes = "-" if local.tm_gmtoff < 0 else "+", abs(local.tm_gmtoff) // 60
    return _Second(
        time.strftime("%Y/%m%d-message.log", local),
        time.strftime("%Y.%m.%d %H:%M:%S", local),
        time.strftime("%Y-%m-%dT%H:%M:%S", local),
        f"{sign}{minutes // 60:02}:{minutes % 60:02}",
    )


def _hsyco(record: logging.LogRecord, second: _Second, millisecond: int) -> str:
    mark = "+" if record.levelno >= logging.ERROR else "-"
    trace = _traceback(record)
    text = f"{record.getMessage()} | {trace}" if trace else record.getMessage()
    return f"{second.hsyco}.{millisecond:03} {mark} {escape(text)}\n"


def _json(record: logging.LogRecord, second: _Second, millisecond: int) -> str:
    line: dict[str, Any] = {
        "time": f"{second.rfc3339}.{millisecond:03}{second.offset}",
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
    }
    if trace := _traceback(record):
        line["exception"] = trace
    line |= {name: value for name, value in getattr(record, "fields", {}).items() if name not in line}
    try:
        encoded = msgspec.json.encode(line, enc_hook=str)
    except (TypeError, ValueError):  # a key that is no text; half of a surrogate pair
        encoded = msgspec.json.encode({str(name): escape(str(value)) for name, value in line.items()})
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", encoded.decode()) + "\n"


def _traceback(record: logging.LogRecord) -> str:
    return logging.Formatter().formatException(record.exc_info) if record.exc_info else ""


_FORMATS = {"hsyco": _hsyco, "json": _json}


class _Destination(Protocol):
    """Where lines go. `lasting`: an error is not for ever, so try again."""

    lasting: bool

    def write(self, file: str, text: str) -> None:
        """Write whole lines, which belong to this file: all of them, or OSError and none."""
        ...


class _DailyFile:
    """`<folder>/YYYY/MMDD-message.log`; the first line of a day removes files older than `keep`."""

    lasting = True

    def __init__(self, folder: Path, keep: float) -> None:
        self._folder = folder
        self._keep_days = int(keep // 86400)
        self._forever = not keep
        self._latest = ""

    def write(self, file: str, text: str) -> None:
        data = text.encode()
        handle = self._open(self._folder / file)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":  # a loss of power cut the line
                data = b"\n" + data
            try:
                _write_all(handle, data)
            except OSError:
                with suppress(OSError):  # a device has no length; the error that counts is the one above
                    os.ftruncate(handle, size)  # the next try writes all of it
                raise
        finally:
            os.close(handle)
        if file != self._latest:
            self._latest = file
            self._retire(file)

    def _open(self, path: Path) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o640)
        except FileNotFoundError:
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            return os.open(path, flags, 0o640)

    def _retire(self, file: str) -> None:
        today = date(int(file[:4]), int(file[5:7]), int(file[7:9])).toordinal()
        if self._forever or self._keep_days >= today:
            return
        oldest = date.fromordinal(today - self._keep_days).strftime("%Y%m%d")
        try:
            for path in self._folder.glob("*/*-message.log"):
                found = _FILE.fullmatch(f"{path.parent.name}/{path.name}")
                if found and found[1] + found[2] < oldest:
                    path.unlink()
                    if not any(path.parent.iterdir()):
                        path.parent.rmdir()
        except OSError as error:
            logger.error("an old log file can't be removed: %s", error)


class _Terminal:
    """Standard output. Once it is gone (closed, or the reader of the pipe ended) it stays gone."""

    lasting = False

    def __init__(self, handle: int, encoding: str, data_folder: Path) -> None:
        self._handle = handle
        self._encoding = encoding
        self._data_folder = data_folder

    def write(self, file: str, text: str) -> None:
        """Under a lock of the data folder: our processes have standard output in common, locks on it too."""
        lock = os.open(self._data_folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _write_all(self._handle, text.encode(self._encoding, "backslashreplace"))
        finally:
            os.close(lock)


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(handle, rest) :]
        except BlockingIOError:  # a terminal or pipe that somebody made non-blocking
            select.select([], [handle], [])


class _Writer(threading.Thread):
    """Gathers the lines of all threads and writes them, in order, to one destination."""

    def __init__(self, name: str, destination: _Destination) -> None:
        super().__init__(name=name, daemon=True)
        self.gone = False
        self._destination = destination
        self._lines: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        # Each of these is changed by one side only: put() under the handler's lock, or the thread.
        self._taken = self._done = 0
        self._refused = self._dropped = self._reported = 0
        self._trouble: OSError | None = None

    def put(self, file: str, line: str) -> None:
        """Take a line; never waits. What the destination is too slow for is counted instead."""
        if self.gone:
            return
        if self._taken - self._done > MOST_PENDING:
            self._refused += 1
            return
        self._taken += len(line)
        self._lines.put((file, line))

    def stop(self) -> None:
        """Write what is pending, as far as it can be done in `STOP_WITHIN` seconds."""
        self._lines.put(None)
        self._stopping.set()
        self.join(STOP_WITHIN)

    def run(self) -> None:
        ended = False
        while not ended and not self.gone:
            batch, ended = self._gather()
            for file, lines in groupby(batch, itemgetter(0)):
                self._write(file, "".join(line for _, line in lines))
            self._done += sum(len(line) for _, line in batch)
            self._report()

    def _gather(self) -> tuple[list[tuple[str, str]], bool]:
        batch, line = [], self._lines.get()
        self._stopping.wait(GATHER)
        with suppress(queue.Empty):
            while line is not None:
                batch.append(line)
                line = self._lines.get_nowait()
        return batch, line is None

    def _write(self, file: str, text: str) -> None:
        """Write, again and again where an error may pass."""
        while not self.gone:
            last_try = self._stopping.is_set()
            try:
                return self._destination.write(file, text)
            except OSError as error:
                if self._trouble is None:
                    self._complain(error)
                self._trouble = error
            if last_try:
                self._dropped += text.count("\n")
                return None
            self._stopping.wait(RETRY if self._destination.lasting else 0)
        return None

    def _complain(self, error: OSError) -> None:
        if self._destination.lasting:
            _say(f"{self.name} can't be written: {error}; lines are kept until it can")
        else:
            self.gone = True
            logger.error("%s can't be written any more: %s", self.name, error)

    def _report(self) -> None:
        """Once lines are taken again: why they were not, and what that cost."""
        lost = self._refused + self._dropped - self._reported
        if (self._trouble or lost) and not self.gone:
            tell = _say if self._stopping.is_set() else logger.error
            reason = self._trouble or "it is slower than the lines come"
            tell(f"{self.name} could not be written for a while ({reason}); lines lost: {lost}")
            self._trouble, self._reported = None, self._reported + lost


def _say(text: str) -> None:
    """For the operator when the log itself is the trouble."""
    # Standard error may be gone as well; then nobody is left to tell.
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"mailbell: {escape(text)}\n")


class _Handler(logging.Handler):
    """Formats records and hands them to the writers."""

    def __init__(self, settings: LogSettings, clock: Clock, writers: list[_Writer]) -> None:
        super().__init__()
        self._line = _FORMATS[settings.format]
        self._clock = clock
        self._writers = writers
        self._local = lru_cache(maxsize=8)(_local)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            second, millisecond = divmod(round(self._clock.time() * 1000), 1000)
            local = self._local(second)
            line = self._line(record, local, millisecond)
        except Exception:  # noqa: BLE001  arguments that don't fit the message, a __str__ that raises
            self.handleError(record)
            return
        for writer in self._writers:
            writer.put(local.file, line)


class Log:
    """The handler and its writers, as a context manager or by start() and stop()."""

    def __init__(self, settings: LogSettings, data_folder: Path, clock: Clock) -> None:
        folder = data_folder / "logs"
        self._writers = [_Writer(f"the log in {folder}", _DailyFile(folder, settings.keep))]
        if settings.terminal and (terminal := _terminal(data_folder)):
            self._writers.append(_Writer("the log on the terminal", terminal))
        self._handler = _Handler(settings, clock, self._writers)
        self._level = logging.NOTSET
        self._wanted: dict[str, Any] = {}

    def start(self) -> None:
        """From now on `logging` writes here: our own lines from INFO up, those of libraries from WARNING."""
        for writer in self._writers:
            writer.start()
        ours = logging.getLogger("mailbell")
        self._level = ours.level
        ours.setLevel(logging.INFO)
        self._wanted = {name: getattr(logging, name) for name in UNUSED if hasattr(logging, name)}
        for name in self._wanted:
            setattr(logging, name, UNUSED[name])
        logging.getLogger().addHandler(self._handler)

    def stop(self) -> None:
        """Write what is pending and end; what is logged later goes where it went before."""
        logging.getLogger().removeHandler(self._handler)
        logging.getLogger("mailbell").setLevel(self._level)
        for name, value in self._wanted.items():
            setattr(logging, name, value)
        for writer in self._writers:
            writer.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _terminal(data_folder: Path) -> _Terminal | None:
    """Standard output, where there is one."""
    try:
        return _Terminal(sys.stdout.fileno(), sys.stdout.encoding, data_folder)
    except (AttributeError, OSError, ValueError):  # no stdout; one in memory; one closed
        return None
