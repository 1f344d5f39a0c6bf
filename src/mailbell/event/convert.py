"""`convert`: the one door from a Mail to its event."""

import hashlib
import re
from copy import copy
from functools import cached_property

import msgspec

from mailbell.event import header, hsyco
from mailbell.event.address import addresses
from mailbell.event.charset import Decoded, decode
from mailbell.event.date import moment, rfc3339
from mailbell.event.defects import Defects
from mailbell.event.detect import HEAD, detect, suffix
from mailbell.event.entity import Entity, parse
from mailbell.event.header import Reader
from mailbell.event.schema import (
    SCHEMA,
    Address,
    Attachment,
    Charset,
    EventEnvelope,
    EventSource,
    HeaderField,
    MailEvent,
    RawInfo,
    TlsInfo,
)
from mailbell.event.text import choose, clean, unflow
from mailbell.mail import Mail, Source

# More text than anybody reads; it keeps a 50 MB message within three times its size of memory.
MAX_TEXT = 4 * 2**20
MAX_NAME = 200

_ENCODER = msgspec.json.Encoder()
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([^\0-\x20\"'/>;]{1,60})", re.IGNORECASE)
_NOT_IN_JSON = re.compile("[\0\ud800-\udfff]")
# Controls, and what makes a name read in another order than it stands: "gpj.exe" as "exe.jpg".
_NOT_IN_NAME = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class ConvertOptions(msgspec.Struct, frozen=True):
    """What an I/O server's settings say about conversion."""

    rawbody: bool = False
    charset: str = "latin-1"


class Converted:
    """A mail and all that is derived from it, in the forms that sinks ask for, each made when asked for."""

    def __init__(self, mail: Mail, options: ConvertOptions) -> None:
        self.mail = mail
        self.name = f"{mail.ioserver}.mail"
        self._options = options
        self._message = _Message(mail.raw, options.charset)

    @cached_property
    def event(self) -> MailEvent:
        """The full form."""
        return _event(self.mail, self._message)

    @cached_property
    def value(self) -> str:
        """The HSYCO form: the value of the `mail` data point, compact JSON (spec/hsyco-smtpserver.md)."""
        message, rawbody = self._message, self._options.rawbody
        return hsyco.value(
            message.headers, message.root, message.raw, rawbody=rawbody, fallback=message.fallback
        )

    @cached_property
    def json(self) -> bytes:
        """The full form as JSON, encoded once."""
        return _ENCODER.encode(self.event)

    def with_suppressed(self, count: int) -> "Converted":
        """The same for a sink whose cooldown has left out so many events like it."""
        other = copy(self)
        other.event = msgspec.structs.replace(self.event, suppressed_count=count)
        other.__dict__.pop("json", None)
        return other

    def attachment(self, index: int) -> bytes:
        """The decoded octets of the attachment with this index; IndexError when there is none."""
        return self._message.files[index].octets(self.mail.raw, Defects())


def convert(mail: Mail, options: ConvertOptions) -> Converted:
    """Turn a mail into its event. Total: any octets give an event, in time linear in their number; pure."""
    return Converted(mail, options)


class _Message:
    """What the octets say: the tree, the header fields, and the leaves by their use."""

    def __init__(self, raw: bytes, fallback: str) -> None:
        self.raw = raw
        self.fallback = fallback
        self.defects = Defects()
        self.root = parse(raw, fallback, self.defects)
        body = choose(self.root, raw)
        self.files = body.attachments
        self._body = body
        self.label = next(
            (leaf.charset for leaf in (self.root, *body.plain, *body.html) if leaf.charset), None
        )
        self.reader = Reader(self.label, fallback, self.defects)
        self.lines: dict[str, list[str]] = {}
        self.first: dict[str, str] = {}
        self.headers = tuple(self._header(field) for field in self.root.fields)

    @cached_property
    def plain(self) -> Decoded | None:
        """The text that is text/plain."""
        return self._read(self._body.plain)

    @cached_property
    def html(self) -> Decoded | None:
        """The text that is text/html."""
        return self._read(self._body.html)

    def _header(self, field: header.Field) -> HeaderField:
        name = field.name.lower()
        line = self.reader.line(field.value)
        text = self.reader.words(line)
        self.lines.setdefault(name, []).append(line)
        self.first.setdefault(name, text)
        return HeaderField(field.name, text)

    def addresses(self, name: str) -> tuple[Address, ...]:
        """The mailboxes of every field with this name."""
        return tuple(found for line in self.lines.get(name, ()) for found in addresses(line, self.reader))

    def _read(self, leaves: list[Entity]) -> Decoded | None:
        """The text of these leaves, one below the other; the charset is the first one's."""
        texts: list[Decoded] = []
        left = MAX_TEXT
        for leaf in leaves:
            texts.append(self._text(leaf, left))
            left -= min(left, leaf.end - leaf.start)
        if not texts or len(texts) == 1:
            return texts[0] if texts else None
        joined = "\n".join(read.text.removesuffix("\n") for read in texts)
        return texts[0]._replace(text=joined)

    def _text(self, leaf: Entity, limit: int) -> Decoded:
        if leaf.end - leaf.start > limit:
            self.defects.note(f"more than {MAX_TEXT >> 20} MiB of text: the rest left out")
        octets = leaf.octets(self.raw, self.defects, limit)
        label = leaf.charset
        if label is None and leaf.type == "text/html" and (found := _META.search(octets, 0, 2048)):
            label = found[1].decode("ascii", "replace")
        read = decode(octets, label, self.fallback)
        if read.defect:
            self.defects.note(f"text {read.defect}")
        text = clean(read.text)
        if leaf.params.get("format", "").lower() == "flowed" and leaf.type != "text/html":
            text = unflow(text, delsp=leaf.params.get("delsp", "").lower() == "yes")
        return Decoded(text, *read[1:])


def _event(mail: Mail, message: _Message) -> MailEvent:
    plain, html = message.plain, message.html
    derived = html is not None and (plain is None or not plain.text.strip())
    read = html if derived else plain
    date_raw = message.first.get("date")
    date = rfc3339(date_raw) if date_raw else None
    if date_raw and not date:
        message.defects.note("Date is no date with an offset: date is null")
    return MailEvent(
        schema=SCHEMA,
        id=mail.id,
        received_at=moment(mail.received_at),
        ioserver=mail.ioserver,
        name=f"{mail.ioserver}.mail",
        source=_source(mail.source),
        envelope=EventEnvelope(_sane(mail.envelope.mail_from), tuple(map(_sane, mail.envelope.rcpt_to))),
        message_id=_inside(message.first.get("message-id")),
        subject=message.first.get("subject"),
        date=date,
        date_raw=date_raw,
        content_type=message.root.declared,
        from_=next(iter(message.addresses("from")), None),
        to=message.addresses("to"),
        cc=message.addresses("cc"),
        reply_to=message.addresses("reply-to"),
        headers=message.headers,
        text=_rendered(html.text, message.defects) if derived and html else plain.text if plain else "",
        text_source="html" if derived else "plain" if plain else "none",
        html=html.text if html else None,
        attachments=tuple(_attachment(index, part, message) for index, part in enumerate(message.files)),
        raw=RawInfo(len(mail.raw), hashlib.sha256(mail.raw).hexdigest()),
        charset=Charset(message.label, *(read[1:3] if read else ("us-ascii", False))),
        suppressed_count=0,
        defects=message.defects.all(),
    )


def _rendered(html: str, defects: Defects) -> str:
    from mailbell.event.markup import to_text  # most mail has plain text, and needs no table of entities

    return to_text(html, defects)


def _attachment(index: int, part: Entity, message: _Message) -> Attachment:
    octets = part.octets(message.raw, message.defects)
    detected = detect(octets[:HEAD])
    made_up = f"attachment-{index + 1}.{suffix(detected, part.declared)}"
    return Attachment(
        index=index,
        filename=_filename(part, octets, message) or made_up,
        content_type=part.declared,
        detected_type=detected,
        disposition="inline" if part.disposition == "inline" else "attachment" if part.disposition else None,
        content_id=_inside(part.lines.get("content-id")),
        size=len(octets),
        sha256=hashlib.sha256(octets).hexdigest(),
    )


def _filename(part: Entity, octets: bytes, message: _Message) -> str:
    """The name that the sender gave, without its path; for a message inside, its subject."""
    for name in part.names:
        if base := _base_name(message.reader.words(name)):
            return base
    if part.declared != "message/rfc822":
        return ""
    fields = header.split(octets, 0, len(octets), Defects()).fields
    subject = next((field.value for field in fields if field.name.lower() == "subject"), b"")
    base = _base_name(message.reader.words(message.reader.line(subject)).replace("/", "-").replace("\\", "-"))
    return f"{base}.eml" if base else ""


def _base_name(name: str) -> str:
    base = re.split(r"[/\\]", _NOT_IN_NAME.sub(" ", name))[-1].strip(" .")
    stem, dot, ending = base.rpartition(".")
    if len(base) > MAX_NAME and len(ending) < MAX_NAME:
        return stem[: MAX_NAME - len(ending) - 1] + dot + ending
    return base[:MAX_NAME]


def _source(source: Source) -> EventSource:
    tls = TlsInfo(source.tls.version, source.tls.cipher) if source.tls else None
    user = source.auth_user and _sane(source.auth_user)
    return EventSource(source.ip, source.port, _sane(source.helo), user, tls)


def _inside(identifier: str | None) -> str | None:
    """RFC 5322 §3.6.4: the angle brackets are no part of the identifier."""
    return identifier.strip(" <>") or None if identifier else None


def _sane(text: str) -> str:
    return text if text.isascii() and "\0" not in text else _NOT_IN_JSON.sub("\ufffd", text)
