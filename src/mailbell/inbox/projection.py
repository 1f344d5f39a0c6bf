"""A mail as the rows of the index: pure."""

import msgspec

from mailbell.event.convert import Converted
from mailbell.event.schema import Address, MailEvent
from mailbell.inbox.query import spaced
from mailbell.mailbox import Summary, is_inline

MAX_WORDS = 64 * 1024
"""Characters of a text that can be searched: enough for what people write, and for a long log's begin."""

SNIPPET = 250
MAX_TAGS = 20
MAX_TAG = 100


class Row(msgspec.Struct, frozen=True):
    """What the index stores of a mail. `words` are the columns that can be searched (store.WORDS)."""

    sequence: int
    summary: Summary
    words: tuple[str, ...]
    tags: tuple[str, ...]


def project(sequence: int, item: Converted) -> Row:
    """Make the row of a mail."""
    event = item.event
    summary = summarise(item)
    words = (
        summary.subject,
        _shown([summary.sender] if summary.sender else ()),
        *map(_shown, (summary.to, summary.cc, summary.bcc, summary.reply_to)),
        summary.message_id,
        "\n".join((event.text[:MAX_WORDS], *(each.filename or "" for each in event.attachments))),
    )
    return Row(sequence, summary, tuple(map(spaced, words)), _own_tags(event))


def summarise(item: Converted) -> Summary:
    """Make what the list shows."""
    event, mail = item.event, item.mail
    inline = sum(map(is_inline, event.attachments))
    shown = {each.address.lower() for each in (*event.to, *event.cc)}
    return Summary(
        id=mail.id,
        message_id=event.message_id or "",
        sender=event.from_,
        to=event.to,
        cc=event.cc,
        bcc=tuple(Address("", each) for each in event.envelope.rcpt_to if each.lower() not in shown),
        reply_to=event.reply_to,
        subject=event.subject or "",
        created=mail.received_at,
        username=event.source.auth_user or "",
        size=len(mail.raw),
        attachments=len(event.attachments) - inline,
        inline=inline,
        snippet=" ".join(event.text[: SNIPPET * 8].split())[:SNIPPET],
    )


def clean_tag(tag: str) -> str:
    """A tag as it is kept: printable, its blanks single, not too long."""
    return " ".join("".join(char if char.isprintable() else " " for char in tag).split())[:MAX_TAG]


def _own_tags(event: MailEvent) -> tuple[str, ...]:
    """The tags that the sender gave, as Mailpit takes them: `X-Tags: first, second`."""
    given = [each.value for each in event.headers if each.name.lower() == "x-tags"]
    tags = (clean_tag(tag) for value in given for tag in value.split(","))
    return tuple(dict.fromkeys(tag for tag in tags if tag))[:MAX_TAGS]


def _shown(addresses: tuple[Address, ...] | list[Address] | tuple[()]) -> str:
    return "\n".join(f"{each.name} {each.address}" for each in addresses)
