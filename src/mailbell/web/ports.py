"""What the rest of the program hands to the web room."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from mailbell.clock import Clock
from mailbell.event.convert import Converted
from mailbell.journal.base import Journal
from mailbell.mailbox import Mailbox
from mailbell.reception import Reception


class NotReleased(Exception):
    """A mail could not be handed on; the text says why."""


class Release(Protocol):
    """Hands a mail on to a real mail server."""

    server: str
    """For people."""

    async def __call__(self, item: Converted, recipients: Sequence[str]) -> None:
        """Hand on to these, not to the mail's own recipients; NotReleased when the server won't have it."""
        ...


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The other rooms, as ports."""

    mailbox: Mailbox
    journal: Journal
    item: Callable[[int], Awaitable[Converted]]
    """The converted mail of a sequence; MailGone when retention was quicker."""
    reception: Reception
    ioserver: str
    """The I/O server that mail of the API counts as mail of."""
    release: Release | None
    clock: Clock
    version: str
    database: str
