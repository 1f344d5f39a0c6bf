"""A node: which journal it has, and whether it is alone or one of several. The settings decide, here."""

import re
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mailbell.clock import Clock
from mailbell.delivery.activity import Activity
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.journal.writer import Writer, Writing
from mailbell.lease.base import Single
from mailbell.settings import ServiceSettings

if TYPE_CHECKING:
    from mailbell.journal.jetstream import JetStreamJournal, Receives
    from mailbell.journal.publisher import Publisher


def name(settings: ServiceSettings) -> str:
    """What this node is called among the others."""
    return settings.ha.node or re.sub(r"[^A-Za-z0-9_-]", "_", socket.gethostname())[:60] or "node"


async def open_receiving(settings: ServiceSettings, folder: DataFolder, clock: Clock) -> "Writer | Publisher":
    """All of the journal that receiving needs. StartupError."""
    if settings.journal.engine == "sqlite":
        return await Writer.open(folder, clock)
    from mailbell.journal.publisher import Publisher

    return await Publisher.open(settings.journal, clock)


async def open_delivering(
    stack: AsyncExitStack, settings: ServiceSettings, folder: Path, receives: "Receives", clock: Clock
) -> "tuple[SqliteJournal | JetStreamJournal, Activity]":
    """The journal beside its receiving half, and the lease that delivering needs. StartupError."""
    if settings.journal.engine == "sqlite":
        embedded = await SqliteJournal.beside(cast("Writing", receives), folder, settings.journal, clock)
        stack.push_async_callback(embedded.close)
        return embedded, Activity(Single(name(settings), clock))
    from mailbell import cluster

    return await cluster.open_delivering(stack, settings, folder, receives, clock, name(settings))
