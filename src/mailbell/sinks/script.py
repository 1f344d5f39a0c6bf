"""The script sink: mails go to a user's JavaScript, Python or EVENTS file (spec: User code)."""

import logging
from contextlib import suppress

from mailbell.errors import ScriptDied, ScriptError, SinkUnavailable
from mailbell.event.convert import Converted
from mailbell.scripting.runner import ScriptRunner
from mailbell.scripting.script import HAACTIVE, HSYCOSTART, IOSTART
from mailbell.scripting.state import IoState
from mailbell.scripting.version import Limits
from mailbell.settings import ScriptSettings
from mailbell.sinks.base import Delivered, Outcome, Retry

logger = logging.getLogger("mailbell.script")


class ScriptSink:
    """One script. An exception in it is logged and the event done; a hang or a crash is a Retry."""

    sequential = False
    """One event at a time and in order is what the runner sees to: it can have the next ones at hand."""

    def __init__(self, name: str, settings: ScriptSettings, state: IoState) -> None:
        self.name = name
        self._state = state
        limits = Limits(settings.time_limit, settings.memory_limit)
        self._runner = ScriptRunner(settings.path, state, logger, limits)
        self._up = False
        self._io_started: list[str] = []

    def __repr__(self) -> str:
        return f"<ScriptSink {self.name}: {self._runner}>"

    async def start(self) -> None:
        """Load the script, then fire HSYCOSTART, HAACTIVE on the active node, and IOSTART.

        SinkUnavailable: nothing of it can be used.
        """
        try:
            await self._runner.start()
        except ScriptError as error:
            raise SinkUnavailable(str(error)) from error
        self._up = True
        await self._fire(HSYCOSTART, HSYCOSTART)
        if self._state.active:  # a node on its own is the active one from its start
            await self._fire(HAACTIVE, HAACTIVE)
        for ioserver in self._io_started:
            await self._fire(IOSTART, ioserver)

    async def deliver(self, item: Converted) -> Outcome:
        """Call the script."""
        try:
            await self._runner.mail(item)
        except ScriptDied as error:
            return Retry(str(error))
        return Delivered()

    async def stop(self) -> None:
        """End the script's process."""
        self._up = False
        await self._runner.stop()

    async def io_start(self, ioserver: str) -> None:
        """An I/O server has begun to listen; the script is told now, or once it is up."""
        if self._up:
            await self._fire(IOSTART, ioserver)
        else:
            self._io_started.append(ioserver)

    async def ha_active(self, active: bool) -> None:
        """This node has become the active one, or no longer is."""
        self._state.active = active
        if self._up:
            await self._fire(HAACTIVE, HAACTIVE)

    async def _fire(self, kind: str, key: str) -> None:
        with suppress(ScriptDied):  # it is in the log; a system event is not repeated
            await self._runner.fire(kind, key)
