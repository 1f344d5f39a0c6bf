"""The child: hosts one script. Messages come and go as JSON, one a line, over the socket that is its stdin.

The parent sends {"do": "load"} once and {"do": "fire"} for each trigger; each is answered by one object. Log
lines are arrays and go out at the moment they are written: what a script says before it hangs or kills
itself is not lost. Changed variables come with the answer, so a call that is killed, and then repeated, has
changed none.
"""

import _thread
import ctypes
import json
import os
import resource
import signal
import time
from collections.abc import Iterator
from typing import Any

from mailbell.clock import steady
from mailbell.scripting.script import (
    ERROR,
    HAACTIVE,
    HSYCOSTART,
    INIT,
    IOSTART,
    Builtins,
    Fault,
    Handler,
    Script,
    Trigger,
)

LOG_LINES = 10_000
LOG_CHARACTERS = 16 * 2**20
"""The most that one call may log; the rest is counted."""

HOST_MEMORY = 32 * 2**20
"""What the host itself may need on top of the script's memory, for copies of the values passed."""

START_ORDER = (INIT, HSYCOSTART, HAACTIVE, IOSTART)

_PR_SET_PDEATHSIG = 1


class Channel:
    """The line to the parent, out of user code's way: stdin becomes /dev/null, stdout is another pipe."""

    def __init__(self) -> None:
        self._fd = os.dup(0)
        self._null = os.open(os.devnull, os.O_RDWR)
        os.dup2(self._null, 0)
        os.register_at_fork(after_in_child=self._abandon)
        self._lock = _thread.allocate_lock()
        self._lines = self._characters = self._dropped = 0
        self._abandoned = False

    def _abandon(self) -> None:
        """A fork of the script is not the host: it reads the end of file and its log goes nowhere."""
        os.dup2(self._null, self._fd, inheritable=False)
        self._abandoned = True

    def requests(self) -> Iterator[dict[str, Any]]:
        """Read requests until the parent closes its end."""
        with open(self._fd, "rb", buffering=2**18, closefd=False) as lines:
            for line in lines:
                if self._abandoned:  # the requests that were read ahead are the host's
                    return
                self._recount()
                yield json.loads(line)

    def log(self, level: int, text: str) -> None:
        """Send a line for the log, as long as there are not too many."""
        self._lines += 1
        self._characters += len(text)
        if self._lines > LOG_LINES or self._characters > LOG_CHARACTERS:
            self._dropped += 1
        else:
            self._send([level, text])

    def answer(self, answer: dict[str, Any]) -> None:
        """Answer the request."""
        self._recount()
        self._send(answer)

    def _recount(self) -> None:
        if self._dropped:
            self._send([ERROR, f"{self._dropped} more lines were not logged: too many in one call"])
        self._lines = self._characters = self._dropped = 0

    def _send(self, message: object) -> None:
        data = memoryview(json.dumps(message).encode() + b"\n")
        try:
            with self._lock:  # a script may have threads
                while data:
                    data = data[os.write(self._fd, data) :]
        except BrokenPipeError:  # the parent is gone
            os._exit(1)


class Host:
    """Loads the script and calls it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._path = ""
        self._time_limit = 0.0
        self._builtins: Builtins
        self._script: Script

    def serve(self) -> None:
        """Answer requests until the parent is gone."""
        for request in self._channel.requests():
            answer = self._load(request) if request["do"] == "load" else self._fire(request)
            self._channel.answer(answer)
            if answer.get("fatal"):  # what the next requests are is for another process
                return

    def _load(self, request: dict[str, Any]) -> dict[str, Any]:
        self._path, self._time_limit = request["path"], request["time_limit"]
        self._builtins = Builtins(self._channel.log, request["run"])
        self._update(request)
        script_class = _language(request["language"])
        _limit_memory(request["memory_limit"] + HOST_MEMORY)
        try:
            self._script = script_class(
                request["source"], self._path, self._builtins, request["memory_limit"]
            )
        except Fault as fault:
            return {"problems": [_place(fault)], "handlers": []}
        if not request["run"]:
            self._test_run(_trigger(request))
        self._keep(request["keep"])
        return {
            "problems": [_place(fault) for fault in self._script.problems],
            "handlers": [[handler.name, handler.mail] for handler in self._script.handlers],
            "variables": self._builtins.take_changed(),
        }

    def _test_run(self, sample: Trigger) -> None:
        """Call everything once, in the order of a start. Leave out what uses a name that exists nowhere."""
        script = self._script
        script.before(sample)
        faults = [
            (handler, fault)
            for handler in sorted(script.handlers, key=_rank)
            if (fault := self._call(handler, sample))
        ]
        undefined = script.undefined()
        for handler, fault in faults:
            script.problems.append(fault)
            if fault.missing in undefined:
                script.handlers.remove(handler)
        told = {fault.missing for _, fault in faults}
        script.problems += [
            Fault(f"{name} is not defined", line) for name, line in undefined.items() if name not in told
        ]

    def _keep(self, names: list[str] | None) -> None:
        """Leave out what the test-run has left out."""
        if names is not None:
            self._script.handlers = [each for each in self._script.handlers if each.name in names]

    def _fire(self, request: dict[str, Any]) -> dict[str, Any]:
        until = request.get("until")
        if until is not None and steady() >= until:  # the parent was stopped after it had looked at the clock
            return {"variables": {}, "fatal": None, "late": True}
        self._update(request)
        trigger, fatal = _trigger(request), None
        _limit_processor(self._time_limit)
        self._script.before(trigger)
        for handler in self._script.handlers:
            if handler.wants(trigger) and (fault := self._call(handler, trigger)):
                where = self._path if fault.line is None else f"{self._path}:{fault.line}"
                self._channel.log(ERROR, f"{where}: {fault.message}")
                fatal = fault.message if fault.fatal else fatal
        self._script.after()
        _limit_processor(None)
        return {"variables": self._builtins.take_changed(), "fatal": fatal}

    def _call(self, handler: Handler, trigger: Trigger) -> Fault | None:
        try:
            handler.call(trigger)
        except Fault as fault:
            return fault
        return None

    def _update(self, request: dict[str, Any]) -> None:
        points = request.get("points", {})
        if request.get("current"):
            points[request["key"]] = request["value"]
        self._builtins.update(request.get("variables", {}), points, request["active"])


def _language(suffix: str) -> type[Any]:
    """Import one language and not the other: half of the time that a start takes."""
    if suffix == ".py":
        from mailbell.scripting.python import PythonFile

        return PythonFile
    from mailbell.scripting.javascript import EventsFile, JavaScriptFile

    return {".js": JavaScriptFile, ".txt": EventsFile}[suffix]


def _trigger(request: dict[str, Any]) -> Trigger:
    return Trigger(request["kind"], request["key"], request["value"], request["active"], request.get("event"))


def _rank(handler: Handler) -> int:
    wanted = [handler.wants(Trigger(kind, kind, "", True)) for kind in START_ORDER]
    return wanted.index(True) if True in wanted else len(wanted)


def _place(fault: Fault) -> list[Any]:
    return [fault.line, fault.message]


def _limit_memory(octets: int) -> None:
    """Limit the address space to what it is now and so much more."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  pathlib costs a start 10 ms
        now = int(file.read().split()[0]) * resource.getpagesize()
    _limit(resource.RLIMIT_AS, now + octets)
    _limit(resource.RLIMIT_CORE, 0)


def _limit_processor(seconds: float | None) -> None:
    """Limit processor time during a call: should the parent be stuck, the script still ends."""
    used = time.process_time()
    _limit(resource.RLIMIT_CPU, resource.RLIM_INFINITY if seconds is None else int(used + seconds) + 2)


def _limit(what: int, value: int) -> None:
    """Set a soft limit, as far as the hard one allows."""
    _, hard = resource.getrlimit(what)
    both = [each for each in (value, hard) if each != resource.RLIM_INFINITY]
    resource.setrlimit(what, (min(both, default=hard), hard))


def _die_with_parent() -> None:
    """A script that hangs while the server is killed must not live on. (One that waits reads the end.)"""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Run until the parent closes the channel."""
    _die_with_parent()
    Host(Channel()).serve()


if __name__ == "__main__":
    main()
