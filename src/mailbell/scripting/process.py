"""The parent's side of a script's process: start it, ask it, end it with its whole group.

Theory of operation. The child gets one end of a socket pair as stdin, for messages both ways, and a pipe as
stdout and stderr, for what programs that it starts print. It leads a session of its own, so that one signal
ends it and all that it has started. Its end is seen through a pidfd: the group is killed while the dead
leader still holds the group's number, then the leader is reaped.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, Self, cast

from mailbell.errors import ScriptDied
from mailbell.scripting.script import INFO

COMMAND = (sys.executable, "-P", "-X", "utf8", "-m", "mailbell.scripting.host")
"""-P: a json.py in the working directory is not ours."""

GRACE = 1.0
"""Seconds that a script has to end by itself (close files, run atexit functions) once it is not needed."""

LINGER = 0.5
"""Seconds to wait for a dead process's last words, should something outside its group hold the socket."""

LOOK = 0.01
LONGEST_MESSAGE = 128 * 2**20
PIPE_SIZE = 64 * 1024
LONGEST_LINE = 64 * 1024
LINE_COST = 64
OUTPUT_RATE = 1024 * 1024
"""What a script's programs print is read at so many octets a second at most; a line costs some on top."""

Log = Callable[[int, str], None]


class ScriptProcess(asyncio.Protocol):
    """One child process. `await start(log)`, then `ask`, one request at a time; at last `close`."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self.reason: str | None = None
        """Why it has ended or must; a sentence whose subject is the script."""
        self._popen: subprocess.Popen[bytes]
        self._pidfd: int
        self._transport: asyncio.Transport
        self._output: Output
        self.ended = asyncio.Event()
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
            read, write = (undo.enter_context(os.fdopen(each, "r+b", 0)) for each in os.pipe())
            self._popen = subprocess.Popen(  # noqa: S603, ASYNC220  returns once exec has begun, in about 1 ms
                COMMAND, stdin=theirs.fileno(), stdout=write, stderr=write, process_group=0
            )
            undo.callback(self._popen.wait)
            undo.callback(self._popen.kill)
            theirs.close()
            write.close()
            self._transport, _ = await self._loop.create_unix_connection(lambda: self, sock=ours)
            _, self._output = await self._loop.connect_read_pipe(lambda: Output(self._log), read)
            self._pidfd = os.pidfd_open(self._popen.pid)
            self._loop.add_reader(self._pidfd, self._on_exit)
            undo.pop_all()

    async def ask(self, message: bytes, limit: float) -> dict[str, Any]:
        """Send a message, return its answer. ScriptDied when the process ends or takes over `limit` seconds.

        Cancelling kills the process: what it was doing can't be taken back, and nobody waits for it.
        """
        if self.reason is not None:
            raise ScriptDied(self.reason)
        answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._answer = answer
        timer = self._loop.call_later(
            limit, self._late, answer, f"ran longer than {limit:g} s and was killed"
        )
        try:
            self._transport.write(message)
            return await answer
        except asyncio.CancelledError:
            self.kill("was interrupted")
            raise
        finally:
            timer.cancel()
            self._answer = None

    def _late(self, answer: asyncio.Future[dict[str, Any]], reason: str) -> None:
        """Kill unless the answer is there. The loop may be what is late: it looks at the socket once more."""

        def kill() -> None:
            if not answer.done():
                self.kill(reason)

        self._loop.call_later(LOOK, kill)

    def kill(self, reason: str) -> None:
        """Kill the process with its group."""
        if self.reason is None:
            self.reason = reason
            self._kill_group()

    async def close(self) -> None:
        """Let the process end, with force if need be. It is gone when this returns or raises."""
        if self.reason is None:
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
                self._take(json.loads(line))
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
            case dict() if _is_answer(message):
                if self._answer is not None and not self._answer.done():
                    self._answer.set_result(message)
            case _:
                raise ValueError("neither a log line nor an answer")

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

    def _finish(self) -> None:
        if self.reason is None:
            self.reason = _describe(self._popen.returncode)
        self._output.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ScriptDied(self.reason))
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
