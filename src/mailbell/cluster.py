"""A node of several: the journal in JetStream, and the lease.

Imported where it is needed only: the client for NATS takes its time.
"""

import secrets
from contextlib import AsyncExitStack
from pathlib import Path

from mailbell.clock import Clock
from mailbell.delivery.activity import Activity
from mailbell.errors import DataError, StartupError
from mailbell.journal import stream
from mailbell.journal.jetstream import JetStreamJournal, Receives
from mailbell.journal.stream import Layout
from mailbell.lease.jetstream import JetStreamLease
from mailbell.remote.jetstream import JetStream, JetStreamError
from mailbell.remote.nats import NatsLink, NatsUnavailable
from mailbell.settings import JournalSettings, ServiceSettings

MARK = "node"
"""The file in the data folder that tells this node from others, also from one of its name."""

CHECK_PATIENCE = 0.0
"""Seconds for which `check` waits for servers that are not there."""


async def open_delivering(
    stack: AsyncExitStack,
    settings: ServiceSettings,
    folder: Path,
    receives: Receives,
    clock: Clock,
    node: str,
) -> tuple[JetStreamJournal, Activity]:
    """The journal beside its receiving half, and the lease without which nothing is delivered. StartupError.

    Ended in this order: claims go back, then another node may be active, then we disconnect.
    """
    link = await stream.connect("journal", settings.journal)
    stack.push_async_callback(link.stop)
    lease = _lease(link, folder, settings, clock, node)
    await stream.until_there(lambda: _started(lease, link, settings.journal), stream.START_PATIENCE)
    stack.push_async_callback(lease.stop)
    activity = Activity(lease)
    journal = await JetStreamJournal.beside(
        receives,
        link,
        settings.journal,
        clock,
        node=node,
        lease=settings.ha.lease,
        term=activity.term,
        starting=True,
    )
    stack.push_async_callback(journal.close)
    lease.before_renewal = journal.keep
    return journal, activity


async def problems(settings: JournalSettings) -> tuple[list[str], list[str]]:
    """What is wrong with a clustered journal, and what to mind; a line each. Changes nothing there."""
    try:
        link = await stream.connect("check", settings, CHECK_PATIENCE)
    except StartupError as error:
        return [str(error)], []
    try:
        layout = Layout(settings.stream, settings.replicas)
        api = JetStream(link)
        wrong = await stream.inspect(api, layout)
        info = await api.stream(layout.mail)
        config = layout.streams()[0] if info is None else info.config
        made = ["the stream is made at the first start"] if info is None else []
        return wrong, [*made, *stream.cautions(config, settings)]
    except (NatsUnavailable, JetStreamError) as error:
        return [f"journal: {error}"], []
    finally:
        await link.stop()


async def _started(lease: JetStreamLease, link: NatsLink, settings: JournalSettings) -> None:
    """The streams first: what is wrong with them is said before anything is made."""
    await stream.prepare(JetStream(link), Layout(settings.stream, settings.replicas))
    try:
        await lease.start()
    except JetStreamError as error:
        if error.passing:
            raise NatsUnavailable(str(error)) from None
        raise StartupError(f"journal: the lease can't be had: {error}") from None


def _lease(
    link: NatsLink, folder: Path, settings: ServiceSettings, clock: Clock, node: str
) -> JetStreamLease:
    return JetStreamLease(
        JetStream(link),
        f"{settings.journal.stream}_LEASE",
        settings.journal.replicas,
        mode=settings.ha.mode,
        node=node,
        folder=_mark(folder),
        seconds=settings.ha.lease,
        clock=clock,
    )


def _mark(folder: Path) -> str:
    """The data folder's own mark; made at the first start. The folder is ours alone while we run."""
    path = folder / MARK
    try:
        if not path.exists():
            path.write_text(secrets.token_hex(16))
        return path.read_text().strip()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
