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
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, NoReturn

from mailbell.errors import ScriptDied, ScriptError
from mailbell.event.convert import Converted
from mailbell.scripting.process import ScriptProcess
from mailbell.scripting.script import ERROR, INIT, IO
from mailbell.scripting.state import IoState
from mailbell.scripting.version import Limits, Version, encode, examine, load_request, place
from mailbell.scripting.watch import Signature, saves, signature

RESTART_DELAYS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds to wait before a start, by how often in a row the process has died."""

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
        self._turn = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None
        self._refused = False
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
        self._watch = asyncio.get_running_loop().create_task(self._follow(), name=f"watch {self.path}")

    async def stop(self) -> None:
        """End the process and the watch."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        process, self._process = self._process, None
        if process is not None:
            await process.close()

    async def mail(self, item: Converted) -> None:
        """Tell the script of a mail; returns when its callbacks are over. ScriptDied has been logged."""
        event = item.json if self._version.handlers.get("on_mail") else None
        await self.fire(IO, item.name, item.value, event)

    async def fire(self, kind: str, key: str, value: str = "", event: bytes | None = None) -> None:
        """Fire a trigger: one at a time, in the order of the calls. ScriptDied has been logged already."""
        async with self._turn:
            process = await self._running()
            await self._fire(process, kind, key, value, event)
            self._deaths = 0

    async def _fire(
        self, process: ScriptProcess, kind: str, key: str, value: str = "", event: bytes | None = None
    ) -> None:
        request: dict[str, Any] = {
            "do": "fire",
            "kind": kind,
            "key": key,
            "value": value,
            **self._news(process, key, value),
        }
        if kind == IO and (until := self._state.until()) is not None:
            request["until"] = until
        try:
            answer = await process.ask(encode(request, event), self._limits.time)
            self._set(process, answer["variables"])
            if answer["fatal"] is not None:
                await process.close()
                raise ScriptDied(f"was ended: {answer['fatal']}")
        except ScriptDied as error:
            self._died(f"{key}: the script {error}")
        if answer.get("late"):
            raise ScriptDied("this node is no longer the active one")

    def _died(self, what: str) -> NoReturn:
        self._deaths += 1
        self._logger.error("%s: %s", self.path, what)
        raise ScriptDied(what)

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
            if process.reason is None:
                return process
            await process.ended.wait()
            if self._deaths == 0:
                self._logger.error("%s: between two events, the script %s", self.path, process.reason)
        await asyncio.sleep(RESTART_DELAYS[min(max(self._deaths - 1, 0), len(RESTART_DELAYS) - 1)])
        try:
            self._process = await self._launch(self._version)
        except ScriptDied as error:
            self._died(str(error))
        await self._fire(self._process, INIT, INIT)
        return self._process

    async def _launch(self, version: Version) -> ScriptProcess:
        """Start a process and load a version that has been examined."""
        try:
            process = await ScriptProcess.start(self._log)
            await self._load(process, version)
        except ScriptDied as error:
            raise ScriptDied(f"while loading, the script {error}") from error
        return process

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
                await self._fire(ending, INIT, INIT)
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
