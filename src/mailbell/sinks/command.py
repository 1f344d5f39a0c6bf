"""The command sink: a program for each event. Never a shell: what a mail says is data, not syntax.

Theory of operation. The event is in a file in memory that the program gets as its standard input, so nobody
has to feed a pipe. What it prints comes back through one pipe. The program leads a session of its own; once
it has ended, or its time is over, all that it has started is killed with it. Its end is seen through a
pidfd, and the dead leader is reaped after its group is killed: until then nobody else can have its number.
"""

import asyncio
import logging
import os
import shutil
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from mailbell.errors import SinkUnavailable
from mailbell.event.convert import Converted
from mailbell.event.template import Template
from mailbell.loops import reading_end
from mailbell.scripting.process import Output
from mailbell.settings import CommandSettings
from mailbell.sinks.base import Delivered, Outcome, Reject, Retry

EX_TEMPFAIL = 75
"""sysexits.h: try again later."""

LONGEST_VARIABLE = 16 * 1024
"""Linux takes 128 KiB in one variable and, in all, a quarter of the stack: 2 MiB."""

MOST_OUTPUT = 64 * 1024
"""Characters of a run's output that go to the log; the rest is read and dropped."""

LONGEST_REASON = 200

VARIABLES = {
    f"MAILBELL_{name}": Template(text)
    for name, text in {
        "ID": "{id}",
        "RECEIVED_AT": "{received_at}",
        "IOSERVER": "{ioserver}",
        "NAME": "{name}",
        "SOURCE_IP": "{source.ip}",
        "SOURCE_PORT": "{source.port}",
        "SOURCE_HELO": "{source.helo}",
        "SOURCE_AUTH_USER": "{source.auth_user}",
        "MAIL_FROM": "{envelope.mail_from}",
        "RCPT_TO": "{envelope.rcpt_to}",
        "MESSAGE_ID": "{message_id}",
        "SUBJECT": "{subject}",
        "DATE": "{date}",
        "FROM": "{from}",
        "FROM_NAME": "{from.name}",
        "TO": "{to}",
        "CC": "{cc}",
        "REPLY_TO": "{reply_to}",
        "TEXT": "{text}",
        "SIZE": "{raw.size}",
    }.items()
}

logger = logging.getLogger("mailbell.command")


class CommandSink:
    """One program. Exit status 0: delivered; EX_TEMPFAIL, a signal, over time: again; another: rejected."""

    sequential = False

    def __init__(self, name: str, settings: CommandSettings) -> None:
        self.name = name
        self._settings = settings

    def __repr__(self) -> str:
        return f"<CommandSink {self.name}: {self._settings.argv[0]}>"

    async def start(self) -> None:
        """Look whether the program is there."""
        if found := problems(self._settings):
            raise SinkUnavailable(found[0])

    async def deliver(self, item: Converted) -> Outcome:
        """Run the program."""
        run = _Run(self.name)
        try:
            await run.start(self._settings, _input(item, self._settings.input), _environment(item))
            status = await run.end(self._settings.time_limit)
        except OSError as error:
            return Retry(f"{self._settings.argv[0]} can't be run: {error.strerror}")
        return _outcome(status, run, self._settings.time_limit)

    async def stop(self) -> None:
        """Nothing to let go of: a run lasts as long as its delivery."""


def problems(settings: CommandSettings) -> list[str]:
    """Say what can be seen to be wrong before the program is run."""
    program, folder = settings.argv[0], settings.folder or Path()
    if not folder.is_dir():
        return [f"no such folder: {folder}"]
    if shutil.which(str(folder / program) if "/" in program else program) is None:
        where = f"in {folder}" if "/" in program and not program.startswith("/") else "on the PATH"
        return [f"{program}: no such program {'' if program.startswith('/') else where}".rstrip()]
    return []


def _input(item: Converted, form: str) -> bytes:
    match form:
        case "raw":
            return item.mail.raw
        case "hsyco":
            return item.value.encode()
        case _:
            return item.json


def _environment(item: Converted) -> dict[bytes, bytes]:
    fields = {name.encode(): template.render(item.event) for name, template in VARIABLES.items()}
    fields[b"MAILBELL_ATTACHMENTS"] = str(len(item.event.attachments))
    return dict(os.environb) | {name: _variable(text) for name, text in fields.items()}


def _variable(text: str) -> bytes:
    """Text as the environment can take it: no NUL, no half characters, not too long."""
    octets = text[:LONGEST_VARIABLE].replace("\0", "").encode()[:LONGEST_VARIABLE]
    return octets.decode(errors="ignore").encode()


def _outcome(status: int | None, run: "_Run", limit: float) -> Outcome:
    said = f": {run.last_line}" if run.last_line else ""
    if status is None:
        return Retry(f"ran longer than {limit:g} s and was killed{said}")
    if status < 0:
        return Retry(f"was ended by {signal.Signals(-status).name}{said}")
    if status == 0:
        return Delivered()
    return (Retry if status == EX_TEMPFAIL else Reject)(f"exit status {status}{said}")


class _Run:
    """One run of the program."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._left = MOST_OUTPUT
        self._popen: subprocess.Popen[bytes]
        self._output: Output
        self.last_line = ""

    async def start(self, settings: CommandSettings, stdin: bytes, environment: dict[bytes, bytes]) -> None:
        """Start the program; OSError when that can't be done."""
        with ExitStack() as closing:
            event = closing.enter_context(_file(stdin))
            read, write = os.pipe()
            closing.callback(os.close, write)
            _, self._output = await asyncio.get_running_loop().connect_read_pipe(
                lambda: Output(self._log), reading_end(read)
            )
            undo = closing.enter_context(ExitStack())
            undo.callback(self._output.close)
            self._popen = subprocess.Popen(  # noqa: S603, ASYNC220  returns once exec has begun, in about 1 ms
                settings.argv,
                stdin=event,
                stdout=write,
                stderr=write,
                cwd=settings.folder,
                env=environment,
                start_new_session=True,
            )
            undo.pop_all()

    async def end(self, limit: float) -> int | None:
        """Wait for the exit status; None when time was up. After it nothing of the group is left."""
        try:
            async with asyncio.timeout(limit):
                await _exit(self._popen.pid)
        except TimeoutError:
            return None
        finally:
            os.killpg(self._popen.pid, signal.SIGKILL)  # its leader, alive or a zombie, is in it
            self._popen.wait()
            self._output.close()
        return self._popen.returncode

    def _log(self, _: int, line: str) -> None:
        self.last_line = line[:LONGEST_REASON] or self.last_line
        if self._left > 0:
            self._left -= len(line) + 1
            more = "" if self._left > 0 else " … the rest is left out"
            logger.info("sink %s: %s%s", self._name, line, more)


async def _exit(pid: int) -> None:
    """Wait until the child has ended; it is not reaped."""
    pidfd, exited = os.pidfd_open(pid), asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, exited.set)
    try:
        await exited.wait()
    finally:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)


def _file(octets: bytes) -> BinaryIO:
    """A file in memory, read from its beginning: nobody has to feed it to a slow reader."""
    file = os.fdopen(os.memfd_create("event"), "r+b", 0)
    file.write(octets)
    file.seek(0)
    return file
