"""The whole TOML file: what stands at its top, `[log]`, and the tables of the rooms."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from mailbell.settings.ioservers import IoServerSettings
from mailbell.settings.journal import HaSettings, JournalSettings
from mailbell.settings.sinks import AnySink
from mailbell.settings.values import Duration, PositiveSize, Settings, Size
from mailbell.settings.web import WebSettings


class LogSettings(Settings, frozen=True, kw_only=True):
    """The log: a file a day in the data folder, and the terminal."""

    format: Annotated[
        Literal["hsyco", "json"],
        Meta(description="How a line looks: HSYCO's format, or one JSON object a line."),
    ] = "hsyco"
    terminal: Annotated[bool, Meta(description="Write the log to the terminal too.")] = True
    keep: Annotated[Duration, Meta(description="Log files older than this are removed; 0: never.")] = (
        Duration(90 * 86400)
    )


MONITOR, INBOX = "io", "inbox"
"""Consumers of the journal that are no sinks. A sink of that name would share its events with one."""


class ServiceSettings(Settings, frozen=True, kw_only=True):
    """Everything: the whole TOML file."""

    data: Annotated[Path, Meta(description="The data folder: journal, logs, generated certificate.")] = Path(
        "mailbell-data"
    )
    ioservers: dict[str, IoServerSettings] = field(default_factory=dict)
    journal: JournalSettings = JournalSettings()
    ha: HaSettings = HaSettings()
    log: LogSettings = LogSettings()
    web: WebSettings = WebSettings()
    memory: Annotated[
        PositiveSize,
        Meta(description="The most memory for messages on their way in; above it connections pause."),
    ] = Size(256 * 2**20)
    processes: Annotated[
        Literal[1, 2],
        Meta(
            description="2: delivering has a process of its own, and never holds up SMTP; 1: less memory, "
            "for a small box."
        ),
    ] = 2
    sinks: dict[str, AnySink] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.journal.engine == "sqlite" and self.ha != HaSettings():
            raise ValueError(
                '[ha] is for several nodes that share a journal: set journal.engine = "jetstream"'
            )
        if taken := self.sinks.keys() & {MONITOR, INBOX}:
            raise ValueError(f"sinks.{min(taken)}: this name is that of a part of mailbell; choose another")
        ordered = [name for name, each in self.sinks.items() if each.ordered]
        if self.ha.mode == "all-active" and ordered:
            raise ValueError(
                f'sinks.{ordered[0]}: ordered = true needs ha.mode = "active-standby": '
                "with all-active, several nodes deliver at once"
            )

    @property
    def consumers(self) -> list[str]:
        """The names of the journal's consumers, of which each gets every event."""
        inbox = [] if self.web.listen == "off" else [INBOX]
        return [MONITOR, *inbox, *self.sinks]
