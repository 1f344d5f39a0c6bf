"""The port of the inbox: what it shows of a mail, and what may be asked of it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Protocol

import msgspec

from mailbell.event.schema import Address, Attachment


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A mail as a list shows it. `created`: ms since the epoch; `bcc`: recipients in none of its fields."""

    id: str
    message_id: str
    sender: Address | None
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    subject: str
    created: int
    username: str
    size: int
    attachments: int
    inline: int
    snippet: str


class Entry(msgspec.Struct, frozen=True):
    """A mail in the inbox: its place in the journal, and what users did with it."""

    sequence: int
    summary: Summary
    read: bool
    tags: tuple[str, ...]


class Search(msgspec.Struct, frozen=True):
    """A query in Mailpit's language; dates in it are of this zone."""

    text: str
    zone: tzinfo = UTC


class Page(msgspec.Struct, frozen=True):
    """Some of the mails asked for, newest first, and how many there are of them in all."""

    entries: tuple[Entry, ...]
    count: int
    unread: int


class Counts(msgspec.Struct, frozen=True):
    """The whole inbox in figures."""

    total: int
    unread: int
    octets: int
    """Of the index's file."""
    arrived: int
    arrived_octets: int
    deleted: int
    """Since the start."""


class Arrived(msgspec.Struct, frozen=True):
    """A mail is in the inbox now."""

    entry: Entry


class Updated(msgspec.Struct, frozen=True):
    """A mail was marked or tagged; None: that did not change."""

    id: str
    read: bool | None = None
    tags: tuple[str, ...] | None = None


class Deleted(msgspec.Struct, frozen=True):
    """A mail has left the inbox."""

    id: str


class Pruned(msgspec.Struct, frozen=True):
    """So much has changed that it is better to look again."""


class Truncated(msgspec.Struct, frozen=True):
    """The inbox was emptied."""


Change = Arrived | Updated | Deleted | Pruned | Truncated
Which = Sequence[str] | Search | None
"""The mails that something is done to: those with these IDs, those that a query finds, or all."""


class Mailbox(Protocol):
    """The inbox. Every call raises InboxUnavailable while the index is being opened, or fails.

    An answer knows of every mail that got its 250 before the question, unless the index is far behind.
    The ID `latest` stands for the newest mail.
    """

    @property
    def ready(self) -> bool:
        """Whether the index is open and knows all the mail that was there at the start."""
        ...

    async def counts(self) -> Counts:
        """How many there are."""
        ...

    async def tags(self) -> Sequence[str]:
        """All tags in use, in order."""
        ...

    async def tag_counts(self) -> Mapping[str, int]:
        """The tags, and how many mails have each."""
        ...

    async def page(
        self, search: Search | None = None, *, start: int = 0, limit: int = 0, before: int = 0
    ) -> Page:
        """A page of the list, or of what a query finds: without the first `start`, at most `limit` (0: all).

        `before`: only what was created before this millisecond. The counts of a search end at 10,000.
        """
        ...

    async def find(self, id_: str) -> Entry | None:
        """The mail with this ID."""
        ...

    async def set_read(self, which: Which, read: bool) -> None:
        """Mark as read or unread."""
        ...

    async def delete(self, which: Which) -> None:
        """Take out of the inbox. The journal keeps the mail for sinks, until its retention removes it."""
        ...

    async def set_tags(self, ids: Sequence[str], tags: Sequence[str]) -> None:
        """Let these mails have these tags and no others."""
        ...

    async def rename_tag(self, old: str, new: str) -> None:
        """Give a tag another name; where a mail has both, they become one."""
        ...

    async def remove_tag(self, tag: str) -> None:
        """Take a tag off every mail."""
        ...

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener`, which may not block, for every change until what is returned is called."""
        ...


def is_inline(attachment: Attachment) -> bool:
    """Whether a part belongs into the text: so it says, or the HTML can refer to it."""
    return attachment.disposition == "inline" or (
        attachment.disposition is None and attachment.content_id is not None
    )
