"""The parent's side of a script's process: start it, ask it, end it with its whole group.

Theory of operation. The child gets one end of a socket pair as stdin, for messages both ways, and a pipe as
stdout and stderr, for what programs that it starts print. It leads a session of its own, so that one signal
ends it and all that it has started. Its end is seen through a pidfd: the group is killed while the dead
leader still holds the group's number, then the leader is reaped.

Several requests may be under way: the child takes them up one at a time, in order, and answers in order. So
the first unanswered one is what it is at, and those behind it have not begun.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple, Self, cast

from mailbell.errors import NotBegun, ScriptDied
from mailbell.loops import reading_end
from mailbell.scripting.script import INFO

COMMAND = (sys.executable, "-P", "-X", "utf8", "-m", "mailbell.scripting.host")
"""-P: a json.py in the working directory is not ours."""

GRACE = 1.0
"""Seconds that a script has to end by itself (close files, run atexit functions) once it is not needed."""

LINGER = 0.5
"""Seconds to wait for a dead process's last words, should something outside its group hold the socket."""

LOOK = 0.01

QUICK = 0.05
"""Seconds within which a quick script answers; it gets its next requests ahead, and never waits for us."""

LONGEST_MESSAGE = 128 * 2**20
PIPE_SIZE = 64 * 1024
LONGEST_LINE = 64 * 1024
LINE_COST = 64
OUTPUT_RATE = 1024 * 1024
"""What a script's programs print is read at so many octets a second at most; a line costs some on top."""

Log = Callable[[int, str], None]

Answer = asyncio.Future[dict[str, Any]]


class Asked(NamedTuple):
    """A request under way, the seconds that it may take, and who is told first."""

    answer: Answer
    limit: float
    heard: Callable[[Answer], object] | None


class ScriptProcess(asyncio.Protocol):
    """One child process. `await start(log)`, then `ask` or `send`; at last `close`."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._asked: deque[Asked] = deque()
        self._began = 0.0
        """When the first of those was taken up, by the loop's clock."""
        self._timer: asyncio.TimerHandle | None = None
        self.spent = False
        """Its last answer was that it has to end, or came after the kill; it begins no more."""
        self.reason: str | None = None
        """Why it has ended or must; a sentence whose subject is the script."""
        self._popen: subprocess.Popen[bytes]
        self._pidfd: int
        self._transport: asyncio.Transport
        self._spare: socket.socket
        """The transport's own is closed as soon as a write fails, and what was not yet read would be lost."""
        self._output: Output
        self.ended = asyncio.Event()
        self.quick = False
        """The last answer did not take long."""
        self.seen = 0
        """The revision of the shared state that its copy has."""

    def __repr__(self) -> str:
        return f"<ScriptProcess {self._popen.pid}{f', {self.reason}' if self.reason else ''}>"

    @classmethod
    async def start(cls, log: Log) -> Self:
        """Start a process; ScriptDied when that is not possible now.

        Must run in the thread of the loop: when the thread that started it ends, so does the child.
        """
        self = cls(log)
        beginning = self._loop.create_task(self._begin())
        try:
            await asyncio.shield(beginning)
        except OSError as error:
            raise ScriptDied(f"could not be started: {error.strerror}") from error
        except asyncio.CancelledError:  # in a moment the process is there and can be ended
            await beginning
            self.kill("was interrupted")
            await self.close()
            raise
        return self

    async def _begin(self) -> None:
        with ExitStack() as undo:
            ours, theirs = (undo.enter_context(each) for each in socket.socketpair())
            read, write = os.pipe()
            unread = undo.enter_context(ExitStack())
            unread.callback(os.close, read)
            with os.fdopen(write, "wb", 0):
                self._popen = subprocess.Popen(  # noqa: S603, ASYNC220  returns once exec has begun, in about 1 ms
                    COMMAND, stdin=theirs.fileno(), stdout=write, stderr=write, process_group=0
                )
            undo.callback(self._popen.wait)
            undo.callback(self._popen.kill)
            theirs.close()
            self._spare = undo.enter_context(ours.dup())
            self._transport, _ = await self._loop.create_unix_connection(lambda: self, sock=ours)
            _, self._output = await self._loop.connect_read_pipe(lambda: Output(self._log), reading_end(read))
            unread.pop_all()
            self._pidfd = os.pidfd_open(self._popen.pid)
            self._loop.add_reader(self._pidfd, self._on_exit)
            undo.pop_all()

    async def ask(self, message: bytes, limit: float) -> dict[str, Any]:
        """Send a message, return its answer, as `send` does.

        Cancelling kills the process: what it was doing can't be taken back, and nobody waits for it.
        """
        try:
            return await self.send(message, limit)
        except asyncio.CancelledError:
            self.kill("was interrupted")
            raise

    def send(self, message: bytes, limit: float, heard: Callable[[Answer], object] | None = None) -> Answer:
        """Send a message; what is returned becomes the answer. `heard` is called with it at once.

        ScriptDied: the process ended meanwhile, or was at it for over `limit` seconds; NotBegun: it ended
        before it came to that.
        """
        if not self.usable:
            raise NotBegun(self.reason or "is about to end")
        answer: Answer = self._loop.create_future()
        self._asked.append(Asked(answer, limit, heard))
        if len(self._asked) == 1:
            self._take_up()
        self._transport.write(message)
        return answer

    @property
    def usable(self) -> bool:
        """Whether it can be asked."""
        return self.reason is None and not self.spent and not self._transport.is_closing()

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._asked)

    async def idle(self) -> None:
        """Wait until all that was asked is answered, or the process has ended."""
        while self._asked:
            await asyncio.wait([self._asked[-1].answer])

    def _take_up(self) -> None:
        """The child turns to the first of the requests."""
        asked, self._began = self._asked[0], self._loop.time()
        self._timer = self._loop.call_later(asked.limit, self._late, asked)

    def _late(self, asked: Asked) -> None:
        """Kill unless the answer is there. The loop may be what is late: it looks at the socket once more."""

        def kill() -> None:
            if self._asked and self._asked[0] is asked:
                self.kill(f"ran longer than {asked.limit:g} s and was killed")

        self._loop.call_later(LOOK, kill)

    def kill(self, reason: str) -> None:
        """Kill the process with its group."""
        if self.reason is None:
            self.reason = reason
            self._kill_group()

    async def close(self) -> None:
        """Let the process end, with force if need be. It is gone when this returns or raises."""
        if self.reason is None and not self._transport.is_closing():  # uvloop refuses on a closed one
            self._transport.write_eof()
        timer = self._loop.call_later(GRACE, self.kill, "was stopped")
        try:
            await self.ended.wait()
        except asyncio.CancelledError:
            self.kill("was interrupted")
            await self.ended.wait()
            raise
        finally:
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Take lines from the child: arrays are for the log, the object is the answer."""
        self._buffer += data
        if b"\n" not in data:
            if len(self._buffer) > LONGEST_MESSAGE:
                self.kill("sent more than can be taken")
            return
        *lines, self._buffer = self._buffer.split(b"\n")
        try:
            for line in lines:
                self._take(json.loads(line.decode()))
        except (ValueError, RecursionError) as error:
            self.kill(f"wrote into the channel of its host: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Process and connection must both be over before the end is told; usually this is the first."""
        if self._popen.returncode is None:
            self._loop.call_later(LINGER, self.kill, "closed the channel of its host")
        else:
            self._finish()

    def _take(self, message: object) -> None:
        match message:
            case [int(level), str(text)]:
                self._log(level, text)
            case dict() if _is_answer(message) and self._asked:
                self._answer(message)
            case _:
                raise ValueError("neither a log line nor an answer")

    def _answer(self, message: dict[str, Any]) -> None:
        """The child is done with the first request."""
        self._stop_timer()
        asked = self._asked.popleft()
        self.quick = self._loop.time() - self._began < QUICK
        self.spent = message.get("fatal") is not None or self.reason is not None
        if self.spent:  # those behind it wait for the end
            self._timer = self._loop.call_later(GRACE, self.kill, "was stopped")
        elif self._asked:
            self._take_up()
        if not asked.answer.done():
            asked.answer.set_result(message)
        if asked.heard is not None:
            asked.heard(asked.answer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _kill_group(self) -> None:
        if self._popen.returncode is None:  # its number may belong to another group once it is reaped
            with suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._kill_group()
        self._popen.wait()
        if self._transport.is_closing():
            self._finish()
        else:
            self._loop.call_later(LINGER, self._transport.abort)

    def _take_rest(self) -> None:
        """What the process had answered before a write to it failed."""
        with self._spare, suppress(OSError):
            while data := self._spare.recv(PIPE_SIZE, socket.MSG_DONTWAIT):
                self.data_received(data)

    def _finish(self) -> None:
        self._take_rest()
        if self.reason is None:
            self.reason = _describe(self._popen.returncode)
        self._output.close()
        self._stop_timer()
        died = NotBegun if self.spent else ScriptDied
        while self._asked:
            asked, error = self._asked.popleft(), died(self.reason)
            if not asked.answer.done():
                asked.answer.set_exception(error)
            if asked.heard is not None:
                asked.heard(asked.answer)
            died = NotBegun
        self.ended.set()


def _is_answer(message: dict[str, Any]) -> bool:
    match message:
        case {"problems": list(), "handlers": list()} | {"variables": dict(), "fatal": str() | None}:
            return True
        case _:
            return False


def _describe(status: int) -> str:
    if status >= 0:
        return f"ended its process with exit status {status}"
    if -status == signal.SIGXCPU:
        return "used more processor time than a call may take"
    return f"was ended by {signal.Signals(-status).name}"


class Output(asyncio.Protocol):
    """What a script's programs print, line by line to the log; slowly enough to leave the server in peace."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._rest = b""
        self._transport: asyncio.ReadTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.ReadTransport", transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._log(INFO, line.decode("utf-8", "replace"))
        self._pause((len(data) + LINE_COST * len(lines)) / OUTPUT_RATE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_line()

    def close(self) -> None:
        """Take the last words of a process that is gone, and close the pipe."""
        if not self._transport.is_closing():
            with suppress(
                BlockingIOError
            ):  # nothing there, and somebody outside the group holds the other end
                self.data_received(os.read(self._transport.get_extra_info("pipe").fileno(), PIPE_SIZE))
            self._transport.close()
            self._end_line()

    def _end_line(self) -> None:
        if self._rest:
            self._log(INFO, self._rest.decode("utf-8", "replace"))
            self._rest = b""

    def _pause(self, seconds: float) -> None:
        if seconds > 0.001:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(seconds, self._resume)

    def _resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()
