"""A sink of your own: each event is a line of JSON in a file."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from mailbell.errors import SinkUnavailable
from mailbell.event.convert import Converted
from mailbell.settings import SinkSettings
from mailbell.sinks.base import Delivered, Outcome, Retry


class FileSettings(SinkSettings, frozen=True, kw_only=True, tag_field="type", tag="file"):
    """The keys of `[sinks.NAME]`, on top of those that every sink has."""

    path: Annotated[Path, Meta(description="The file, which grows.")]

    def describe(self) -> str:
        """For the first lines of `serve`."""
        return f"file {self.path}"


class FileSink:
    """What the entry point names. It is made of a name and such `Settings`, and is a `Sink`."""

    Settings = FileSettings
    sequential = True  # one event at a time

    def __init__(self, name: str, settings: FileSettings) -> None:
        self.name = name
        self._path = settings.path

    async def start(self) -> None:
        """Come up, or say why not, and what to do about it; called again until it succeeds."""
        if not self._path.parent.is_dir():
            raise SinkUnavailable(f"{self._path.parent} is no folder; create it")

    async def deliver(self, item: Converted) -> Outcome:
        """`item` has the `event`, its `json`, HSYCO's `value`, the `mail`, and each `attachment(index)`."""
        try:
            await asyncio.to_thread(self._append, item.json + b"\n")
        except OSError as error:
            return Retry(f"{self._path}: {error.strerror}")
        return Delivered()

    async def stop(self) -> None:
        """Let go of everything; may be called without `start`."""

    def _append(self, line: bytes) -> None:
        with self._path.open("ab", 0) as file:
            file.write(line)
            os.fsync(file.fileno())  # after Delivered() mailbell may forget the mail
