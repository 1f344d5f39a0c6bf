"""Runs one script: test-run, load, call, restart after a crash, reload on save.

Theory of operation. A script is first examined in a process of its own: parsed and test-run with `__run` =
0, under the same limits. If something of it works, a second process is started with it and takes the place
of the one before, between two events. What crashes or hangs costs its process and nothing else: the next
event starts another.

An exception in a callback is a bug of the script: it is logged with its line and the event is done, since
running it again would end the same. A process that was killed, or killed itself, may do better next time:
ScriptDied.
"""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from mailbell.clock import steady
from mailbell.errors import NotBegun, ScriptDied, ScriptError
from mailbell.event.convert import Converted
from mailbell.scripting.process import Answer, ScriptProcess
from mailbell.scripting.script import ERROR, INIT, IO
from mailbell.scripting.state import IoState
from mailbell.scripting.version import Limits, Version, encode, examine, load_request, place
from mailbell.scripting.watch import Signature, saves, signature

RESTART_DELAYS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds to wait before a start, by how often in a row the process has died."""


class Call(msgspec.Struct, order=True):
    """A trigger on its way to the script, and what comes of it; they are called in order of their number."""

    number: int
    kind: str
    key: str
    value: str
    event: Callable[[], bytes] | None
    """For a version that takes it: until it is called, that may be another one."""
    done: asyncio.Future[None]
    process: ScriptProcess | None = None
    """The one that has it."""


Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


class ScriptRunner:
    """One script and its process. `start`, then `mail` and `fire`, in any number of tasks; at last `stop`."""

    def __init__(self, path: Path, state: IoState, logger: Log, limits: Limits) -> None:
        self.path = path
        self._state = state
        self._logger = logger
        self._limits = limits
        self._version: Version
        self._process: ScriptProcess | None = None
        self._deaths = 0
        self._numbers = itertools.count()
        self._calls: list[Call] = []
        """A heap of those that no process has."""
        self._more = asyncio.Event()
        self._turn = asyncio.Lock()
        """Held by who hands calls to the process, or exchanges it."""
        self._feeding: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._refused = False
        self._stopped = False
        self._seen: Signature = None

    def __repr__(self) -> str:
        return f"<ScriptRunner {self.path}, {self._process}>"

    async def start(self) -> None:
        """Load the script and watch its file. ScriptError when nothing of it can be used.

        Called again, it waits for the file to be saved, and then tries again.
        """
        if self._refused:
            await self._saved()
        self._seen, self._refused = signature(self.path), True
        version = await self._examine()
        if not version.usable:
            self._report(version.problems[1:])
            raise ScriptError(f"{version.problems[0]}; correct it and save the file")
        self._report(version.problems)
        try:
            await self._take_over(version)
        except ScriptDied as error:
            raise ScriptError(str(error), str(self.path)) from error
        loop = asyncio.get_running_loop()
        self._stopped = False
        self._feeding = loop.create_task(self._feed(), name=f"feed {self.path}")
        self._watch = loop.create_task(self._follow(), name=f"watch {self.path}")

    async def stop(self) -> None:
        """End the process and the watch. What is still called is told so: nobody would hand it over."""
        self._stopped = True
        for task in filter(None, (self._watch, self._feeding)):
            task.cancel()
            await asyncio.wait([task])
        process, self._process = self._process, None
        if process is not None:
            await process.close()
        while self._calls:
            _settle(self._calls.pop(), ScriptDied("the script was stopped"))

    async def mail(self, item: Converted) -> None:
        """Tell the script of a mail; returns when its callbacks are over. ScriptDied has been logged."""
        await self.fire(IO, item.name, item.value, lambda: item.json)

    async def fire(
        self, kind: str, key: str, value: str = "", event: Callable[[], bytes] | None = None
    ) -> None:
        """Fire a trigger: one at a time, in the order of the calls. ScriptDied has been logged already."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        call = Call(next(self._numbers), kind, key, value, event, done)
        self._queue(call)
        try:
            await done
        except asyncio.CancelledError:
            if call.process is not None:
                call.process.kill("was interrupted")
            raise

    def _queue(self, call: Call) -> None:
        if self._stopped:
            _settle(call, ScriptDied("the script was stopped"))
            return
        heapq.heappush(self._calls, call)
        self._more.set()

    async def _feed(self) -> None:
        """Hand over what is called, for ever."""
        while True:
            await self._more.wait()
            async with self._turn:
                await self._hand_over()

    async def _hand_over(self) -> None:
        """Give the process the next call, once it can be given more."""
        try:
            process = await self._ready()
            self._call(process, self._calls[0])
        except Exception as error:  # noqa: BLE001  for whoever has called; the next one's call may do better
            _settle(self._calls[0], error)
        heapq.heappop(self._calls)
        if not self._calls:
            self._more.clear()

    def _call(self, process: ScriptProcess, call: Call) -> None:
        if call.done.done():  # cancelled
            return
        event = call.event() if call.event is not None and self._version.handlers.get("on_mail") else None
        request = self._request(process, call.kind, call.key, call.value, event)
        process.send(request, self._limits.time, partial(self._answered, process, call))
        call.process = process

    async def _ready(self) -> ScriptProcess:
        """A quick one gets its calls ahead; but what others have set it learns between two of them."""
        while True:
            process = await self._running()
            if not process.busy:
                return process
            if process.quick and not self._state.changes(process.seen, process).variables:
                return process
            await process.idle()

    def _request(
        self, process: ScriptProcess, kind: str, key: str, value: str = "", event: bytes | None = None
    ) -> bytes:
        request: dict[str, Any] = {
            "do": "fire",
            "kind": kind,
            "key": key,
            "value": value,
            **self._news(process, key, value),
        }
        if kind == IO and (until := self._state.until()) is not None:
            request["until"] = until
        return encode(request, event)

    def _answered(self, process: ScriptProcess, call: Call, answering: Answer) -> None:
        """What it has set is known before anything is sent to it again: the two would not agree for ever."""
        call.process = None
        try:
            self._take(process, answering.result())
        except NotBegun:
            self._call_again(call)
        except ScriptDied as error:
            if not call.done.done():  # who was cancelled has killed it: not the script's doing
                _settle(call, self._dead(f"{call.key}: the script {error}"))
        except Exception as error:  # noqa: BLE001  an answer that the host did not write
            process.kill(f"wrote into the channel of its host: {error!r}")
            _settle(call, self._dead(f"{call.key}: the script {process.reason}"))
        else:
            self._deaths = 0
            _settle(call)

    def _call_again(self, call: Call) -> None:
        """As if nothing had been; unless another node is the active one by now: a mail is for that one."""
        until = self._state.until()
        if call.kind == IO and until is not None and steady() >= until:
            _settle(call, ScriptDied("this node is no longer the active one"))
        else:
            self._queue(call)

    def _take(self, process: ScriptProcess, answer: dict[str, Any]) -> None:
        self._set(process, answer["variables"])
        if answer["fatal"] is not None:
            raise ScriptDied(f"was ended: {answer['fatal']}")
        if answer.get("late"):
            raise NotBegun("came to this event after its lease")

    def _dead(self, what: str) -> ScriptDied:
        self._deaths += 1
        self._logger.error("%s: %s", self.path, what)
        return ScriptDied(what)

    def _news(self, process: ScriptProcess, key: str = "", value: str = "") -> dict[str, Any]:
        """What others have changed since the last request; the event's own value is not sent twice."""
        changes = self._state.changes(process.seen, process)
        process.seen = changes.revision
        current = changes.points.get(key) == value
        if current:
            del changes.points[key]
        news = {"variables": changes.variables, "points": changes.points, "current": current}
        return {"active": self._state.active} | {name: each for name, each in news.items() if each}

    def _set(self, process: ScriptProcess, variables: Mapping[str, str | None]) -> None:
        for name, value in variables.items():
            if not self._state.set_variable(name, value, process):
                self._logger.error("%s: varSet: no more room for %s", self.path, name)

    async def _running(self) -> ScriptProcess:
        """The process, started anew if it has died; after a while, if it has died often."""
        process = self._process
        if process is not None:
            if process.usable:
                return process
            await process.close()
            if self._deaths == 0:
                self._logger.error("%s: between two events, the script %s", self.path, process.reason)
        await asyncio.sleep(RESTART_DELAYS[min(max(self._deaths - 1, 0), len(RESTART_DELAYS) - 1)])
        try:
            self._process = await self._launch(self._version)
        except ScriptDied as error:
            raise self._dead(str(error)) from error
        await self._init(self._process)
        return self._process

    async def _launch(self, version: Version) -> ScriptProcess:
        """Start a process and load a version that has been examined."""
        try:
            process = await ScriptProcess.start(self._log)
            await self._load(process, version)
        except ScriptDied as error:
            raise ScriptDied(f"while loading, the script {error}") from error
        return process

    async def _init(self, process: ScriptProcess) -> None:
        try:
            self._take(process, await process.ask(self._request(process, INIT, INIT), self._limits.time))
        except ScriptDied as error:
            await process.close()
            raise self._dead(f"{INIT}: the script {error}") from error

    async def _load(self, process: ScriptProcess, version: Version) -> None:
        request = load_request(self.path, version.source, self._limits)
        request |= {"keep": list(version.handlers), **self._news(process)}
        loaded = False
        try:
            answer = await process.ask(encode(request), self._limits.test)
            loaded = bool(answer["handlers"])
            if not loaded:
                raise ScriptDied(f"failed: {place(self.path, *answer['problems'][0])}")
            self._set(process, answer["variables"])
        finally:
            if not loaded:
                await process.close()

    async def _take_over(self, version: Version) -> None:
        """Let a version take over, between two events."""
        ending: ScriptProcess | None = await self._launch(version)
        try:
            async with self._turn:
                assert ending is not None  # noqa: S101
                if self._process is not None:
                    await self._process.idle()
                await self._init(ending)
                ending, self._process = self._process, ending
                self._version = version
                self._deaths = 0
        finally:
            if ending is not None:
                await ending.close()

    async def _saved(self) -> None:
        async with aclosing(saves(self.path, self._seen)) as changes:
            await anext(changes)

    async def _follow(self) -> None:
        """Reload on every save."""
        async for now in saves(self.path, self._seen):
            if now is None:
                self._logger.error("%s: the file is gone; the script as it was last runs on", self.path)
            else:
                await self._reload()

    async def _reload(self) -> None:
        version = await self._examine()
        self._report(version.problems)
        if not version.usable:
            self._logger.error("%s: set aside; the version before runs on", self.path)
            return
        try:
            await self._take_over(version)
        except ScriptDied as error:
            self._logger.error("%s: %s; set aside, the version before runs on", self.path, error)
        else:
            self._logger.info("%s: reloaded", self.path)

    async def _examine(self) -> Version:
        return await examine(self.path, self._limits, self._state)

    def _report(self, problems: Sequence[str]) -> None:
        for problem in problems:
            self._logger.error("%s", problem)

    def _log(self, level: int, text: str) -> None:
        self._logger.log(logging.ERROR if level == ERROR else logging.INFO, "%s", text)


def _settle(call: Call, error: Exception | None = None) -> None:
    if call.done.done():  # cancelled
        return
    if error is None:
        call.done.set_result(None)
    else:
        call.done.set_exception(error)
