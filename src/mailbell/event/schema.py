"""The full form of an event: `mailbell.event/1`. Unknown is null, never absent."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

SCHEMA: Literal["mailbell.event/1"] = "mailbell.event/1"

Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Sha256 = Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9a-f]{64}$"})]


class Address(msgspec.Struct, frozen=True):
    """One mailbox: display name (may be empty) and address."""

    name: str
    address: str


class HeaderField(msgspec.Struct, frozen=True):
    """A header field: its name as written, its value unfolded and decoded."""

    name: str
    value: str


class TlsInfo(msgspec.Struct, frozen=True):
    """The TLS connection that the mail came over."""

    version: str
    cipher: str


class EventSource(msgspec.Struct, frozen=True):
    """Where the mail came from."""

    ip: str
    port: int
    helo: str
    auth_user: str | None
    tls: TlsInfo | None


class EventEnvelope(msgspec.Struct, frozen=True):
    """The SMTP envelope as given; `mail_from` is empty for the null reverse-path."""

    mail_from: str
    rcpt_to: tuple[str, ...]


class Attachment(msgspec.Struct, frozen=True):
    """A part that is not the body. `size` and `sha256` are of the decoded octets."""

    index: int
    filename: str | None
    content_type: str
    detected_type: str | None
    disposition: Literal["attachment", "inline"] | None
    content_id: str | None
    size: int
    sha256: Sha256


class RawInfo(msgspec.Struct, frozen=True):
    """The message as it travelled."""

    size: int
    sha256: Sha256


class Charset(msgspec.Struct, frozen=True):
    """How the text was decoded: the label on it, the codec used, and whether that was a guess."""

    declared: str | None
    used: str
    guessed: bool


class MailEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The full form. Times are RFC 3339; `received_at` in UTC with milliseconds."""

    schema: Literal["mailbell.event/1"]
    id: str
    received_at: Moment
    ioserver: str
    name: str
    source: EventSource
    envelope: EventEnvelope
    message_id: str | None
    subject: str | None
    date: Moment | None
    date_raw: str | None
    content_type: str
    from_: Address | None = msgspec.field(name="from")
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    headers: tuple[HeaderField, ...]
    text: str
    text_source: Literal["plain", "html", "none"]
    html: str | None
    attachments: tuple[Attachment, ...]
    raw: RawInfo
    defects: tuple[str, ...]
    charset: Charset
    suppressed_count: int
    """How many events like this one a sink's cooldown has left out since the last that it let through."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the full form; docs/event.schema.json is a copy of it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | msgspec.json.schema(MailEvent)
