"""The shapes of Mailpit's `/api/v1`, field by field, and how ours become them. Lists are [], never null."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from mailbell.event import schema
from mailbell.event.convert import Converted
from mailbell.event.date import moment
from mailbell.mailbox import Change, Counts, Deleted, Entry, Page, Pruned, Truncated, Updated, is_inline
from mailbell.web.ports import Mark

_NAMES = {
    "id": "ID", "ids": "IDs", "message_id": "MessageID", "html": "HTML", "part_id": "PartID",
    "content_id": "ContentID", "md5": "MD5", "sha1": "SHA1", "sha256": "SHA256", "filename": "FileName",
    "smtp_server": "SMTPServer", "smtp_accepted": "SMTPAccepted", "smtp_accepted_size": "SMTPAcceptedSize",
    "smtp_rejected": "SMTPRejected", "smtp_ignored": "SMTPIgnored",
    "sender": "From", "preserve_message_ids": "PreserveMessageIDs",
}  # fmt: skip


def mailpit(field: str) -> str:
    """The name of a field in Mailpit's JSON."""
    return _NAMES.get(field) or "".join(part.capitalize() for part in field.split("_"))


Marks = Callable[[int], Mark]
"""How it stands with the event of a sequence."""


class Message(msgspec.Struct, frozen=True, rename="pascal"):
    """What goes to those who listen at /api/events."""

    type: str
    data: Any


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename=mailpit):
    """Base of all shapes."""


class Address(Shape, frozen=True, kw_only=True):
    name: str
    address: str


class Mail(Shape, frozen=True, kw_only=True):
    """What a list and a single mail have in common. One client asks for `Read` of both."""

    id: str
    message_id: str
    read: bool
    sender: Address
    to: list[Address]
    cc: list[Address]
    bcc: list[Address]
    reply_to: list[Address]
    subject: str
    username: str
    tags: list[str]
    size: int


class Summary(Mail, frozen=True, kw_only=True):
    """An item of a list."""

    created: str
    attachments: int
    snippet: str
    sequence: int
    """Its number in the journal: ours, not Mailpit's."""
    delivery: Mark
    """How it stands in all sinks: ours, not Mailpit's."""


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to GET messages and GET search."""

    total: int
    unread: int
    count: int
    messages_count: int
    messages_unread: int
    start: int
    tags: list[str]
    messages: list[Summary]


class Checksums(Shape, frozen=True, kw_only=True):
    md5: str
    sha1: str
    sha256: str


class Attachment(Shape, frozen=True, kw_only=True):
    part_id: str
    filename: str
    content_type: str
    content_id: str
    size: int
    checksums: Checksums


class ListUnsubscribe(Shape, frozen=True, kw_only=True):
    """RFC 2369 and RFC 8058."""

    header: str
    links: list[str]
    errors: str
    header_post: str


class Detail(Mail, frozen=True, kw_only=True):
    """The answer to GET message/{ID}."""

    return_path: str
    list_unsubscribe: ListUnsubscribe
    date: str
    text: str
    html: str
    inline: list[Attachment]
    attachments: list[Attachment]


class RuntimeStats(Shape, frozen=True, kw_only=True):
    """Since the start."""

    uptime: int
    memory: int
    messages_deleted: int
    smtp_accepted: int
    smtp_accepted_size: int
    smtp_rejected: int
    smtp_ignored: int


class Info(Shape, frozen=True, kw_only=True):
    version: str
    latest_version: str
    database: str
    database_size: int
    messages: int
    unread: int
    tags: dict[str, int]
    runtime_stats: RuntimeStats


class Relay(Shape, frozen=True, kw_only=True):
    enabled: bool
    smtp_server: str
    return_path: str = ""
    allowed_recipients: str = ""
    blocked_recipients: str = ""
    override_from: str = ""
    preserve_message_ids: bool = True


class WebUi(Shape, frozen=True, kw_only=True):
    """What a page has to know of the server."""

    label: str
    message_relay: Relay
    spam_assassin: bool
    chaos_enabled: bool
    duplicates_ignored: bool
    hide_delete_all_button: bool


class Trigger(Shape, frozen=True, kw_only=True):
    """One of chaos' failures; the probability in percent."""

    error_code: int
    probability: int


class Triggers(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """All of them."""

    sender: Trigger
    recipient: Trigger
    authentication: Trigger


class Sent(Shape, frozen=True, kw_only=True):
    """The mail that was made."""

    id: str


def listing(page: Page, counts: Counts, start: int, tags: Sequence[str], mark: Marks) -> Listing:
    """A page of the list or of a search."""
    return Listing(
        total=counts.total,
        unread=counts.unread,
        count=len(page.entries),
        messages_count=page.count,
        messages_unread=page.unread,
        start=start,
        tags=list(tags),
        messages=[summary(entry, mark(entry.sequence)) for entry in page.entries],
    )


def summary(entry: Entry, mark: Mark) -> Summary:
    """An item of a list."""
    mail = entry.summary
    return Summary(
        id=mail.id,
        message_id=mail.message_id,
        read=entry.read,
        sender=_address(mail.sender),
        to=[_address(each) for each in mail.to],
        cc=[_address(each) for each in mail.cc],
        bcc=[_address(each) for each in mail.bcc],
        reply_to=[_address(each) for each in mail.reply_to],
        subject=mail.subject,
        created=moment(mail.created),
        username=mail.username,
        tags=list(entry.tags),
        size=mail.size,
        attachments=mail.attachments,
        snippet=mail.snippet,
        sequence=entry.sequence,
        delivery=mark,
    )


def detail(entry: Entry, item: Converted) -> Detail:
    """A whole mail, without its octets."""
    short, event = summary(entry, "done"), item.event
    parts = [attachment(each, item) for each in event.attachments]
    inline = [is_inline(each) for each in event.attachments]
    common = {name: getattr(short, name) for name in Mail.__struct_fields__}
    return Detail(
        **common | {"read": True},  # it is by now
        return_path=event.envelope.mail_from,
        list_unsubscribe=_list_unsubscribe(event),
        date=event.date or short.created,
        text=event.text,
        html=event.html or "",
        inline=[part for part, is_in in zip(parts, inline, strict=True) if is_in],
        attachments=[part for part, is_in in zip(parts, inline, strict=True) if not is_in],
    )


def attachment(part: schema.Attachment, item: Converted) -> Attachment:
    """A part of a mail; its ID is its number among the attachments."""
    import hashlib

    octets = item.attachment(part.index)
    return Attachment(
        part_id=str(part.index + 1),
        filename=part.filename or "",
        content_type=part.content_type,
        content_id=part.content_id or "",
        size=part.size,
        checksums=Checksums(
            md5=hashlib.md5(octets, usedforsecurity=False).hexdigest(),
            sha1=hashlib.sha1(octets, usedforsecurity=False).hexdigest(),
            sha256=part.sha256,
        ),
    )


def headers(item: Converted) -> dict[str, list[str]]:
    """The header fields by name, as Go's net/textproto writes names: `Message-Id`."""
    found: dict[str, list[str]] = {}
    for field in item.event.headers:
        name = "-".join(part.capitalize() for part in field.name.split("-"))
        found.setdefault(name, []).append(field.value)
    return found


def change(what: Change, mark: Marks) -> Message:
    """A message to those who listen at /api/events."""
    match what:
        case Updated(id_, read, tags):
            data: dict[str, object] = {"ID": id_}
            data |= {} if read is None else {"Read": read}
            data |= {} if tags is None else {"Tags": tags}
            return Message("update", data)
        case Deleted(id_):
            return Message("delete", {"ID": id_})
        case Pruned():
            return Message("prune", None)
        case Truncated():
            return Message("truncate", None)
        case arrived:
            return Message("new", summary(arrived.entry, mark(arrived.entry.sequence)))


def _address(address: schema.Address | None) -> Address:
    return Address(name=address.name, address=address.address) if address else Address(name="", address="")


def _list_unsubscribe(event: schema.MailEvent) -> ListUnsubscribe:
    values = {each.name.lower(): each.value for each in reversed(event.headers)}
    header = values.get("list-unsubscribe", "")
    links = [link.strip() for link in re.findall(r"<([^<>]*)>", header)]
    good = [link for link in links if re.match(r"(?:https?://|mailto:)[^\s]+$", link, re.IGNORECASE)]
    wrong = header and (not good or len(good) != len(links))
    errors = "List-Unsubscribe holds something else than <http…> and <mailto:…>" if wrong else ""
    return ListUnsubscribe(
        header=header, links=good, errors=errors, header_post=values.get("list-unsubscribe-post", "")
    )
