"""`convert`: the one door from a Mail to its event."""

import hashlib
import re
from datetime import UTC, datetime
from functools import cached_property

import msgspec

from mailbell.event import entity, header, hsyco, text
from mailbell.event.address import addresses
from mailbell.event.charset import Decoded, decode
from mailbell.event.date import rfc3339
from mailbell.event.entity import Entity
from mailbell.event.schema import (
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
from mailbell.mail import Mail

_JSON = msgspec.json.Encoder()


class ConvertOptions(msgspec.Struct, frozen=True):
    """What an I/O server's settings say about conversion."""

    rawbody: bool = False
    charset: str = "latin-1"


class Converted:
    """A mail and everything derived from it, in the forms that sinks ask for."""

    def __init__(self, mail: Mail, options: ConvertOptions) -> None:
        self.mail = mail
        self._options = options
        self._defects: list[str] = []
        self._root = entity.parse(mail.raw, options.charset, self._defects)
        self._label = self._root.params.get("charset")
        self._parts: list[Entity] = []
        self.event = self._event()

    @cached_property
    def value(self) -> str:
        """The HSYCO form: the value of the `mail` data point, compact JSON (spec/hsyco-smtpserver.md)."""
        return hsyco.value(
            self.mail.raw, self._root, self._options.rawbody, self._label, self._options.charset
        )

    @cached_property
    def json(self) -> bytes:
        """The full form as JSON, encoded once."""
        return _JSON.encode(self.event)

    def attachment(self, index: int) -> bytes:
        """The decoded octets of the attachment with this index."""
        return self._parts[index].octets(self.mail.raw)

    def _text(self, name: str) -> str | None:
        found = header.get(self._root.fields, name)
        return None if found is None else header.text(found, self._label, self._options.charset)

    def _addresses(self, name: str) -> tuple[Address, ...]:
        found: list[Address] = []
        for field in self._root.fields:
            if field.name.lower() == name:
                found += addresses(header.unfold(field.value, self._label, self._options.charset))
        return tuple(found)

    def _event(self) -> MailEvent:
        mail, fallback = self.mail, self._options.charset
        plain, html = self._bodies()
        source, tls = mail.source, mail.source.tls
        moment = datetime.fromtimestamp(mail.received_at / 1000, UTC)
        date = self._text("date")
        body = plain or html or Decoded("", "us-ascii", guessed=False)
        identifier = self._text("message-id")
        return MailEvent(
            id=mail.id,
            received_at=f"{moment:%Y-%m-%dT%H:%M:%S}.{mail.received_at % 1000:03}Z",
            ioserver=mail.ioserver,
            name=f"{mail.ioserver}.mail",
            source=EventSource(
                source.ip,
                source.port,
                source.helo,
                source.auth_user,
                tls and TlsInfo(tls.version, tls.cipher),
            ),
            envelope=EventEnvelope(mail.envelope.mail_from, mail.envelope.rcpt_to),
            message_id=identifier and identifier.strip("<>"),
            subject=self._text("subject"),
            date=date and rfc3339(date),
            date_raw=date,
            content_type=self._root.type,
            from_=next(iter(self._addresses("from")), None),
            to=self._addresses("to"),
            cc=self._addresses("cc"),
            reply_to=self._addresses("reply-to"),
            headers=tuple(
                HeaderField(field.name, header.text(field.value, self._label, fallback))
                for field in self._root.fields
            ),
            text=plain.text if plain else text.from_html(html.text) if html else "",
            text_source="plain" if plain else "html" if html else "none",
            html=html and html.text,
            attachments=tuple(self._attachment(index, part) for index, part in enumerate(self._parts)),
            raw=RawInfo(len(mail.raw), hashlib.sha256(mail.raw).hexdigest()),
            defects=tuple(self._defects),
            charset=Charset(self._label, body.used, body.guessed),
        )

    def _bodies(self) -> tuple[Decoded | None, Decoded | None]:
        found: dict[str, Decoded] = {}
        for leaf in self._root.leaves():
            if (
                leaf.type in ("text/plain", "text/html")
                and leaf.type not in found
                and leaf.disposition != "attachment"
            ):
                decoded = decode(
                    leaf.octets(self.mail.raw), leaf.params.get("charset"), self._options.charset
                )
                found[leaf.type] = decoded._replace(text=text.clean(decoded.text))
                self._label = self._label or leaf.params.get("charset")
            else:
                self._parts.append(leaf)
        return found.get("text/plain"), found.get("text/html")

    def _attachment(self, index: int, part: Entity) -> Attachment:
        octets = part.octets(self.mail.raw)
        name = re.split(r"[/\\]", header.words(part.params.get("name", "")))[-1]
        return Attachment(
            index=index,
            filename=name or f"attachment-{index + 1}",
            content_type=part.type,
            detected_type=None,
            disposition="inline"
            if part.disposition == "inline"
            else "attachment"
            if part.disposition
            else None,
            content_id=part.line("content-id").strip("<>") or None,
            size=len(octets),
            sha256=hashlib.sha256(octets).hexdigest(),
        )


def convert(mail: Mail, options: ConvertOptions) -> Converted:
    """Turn a mail into its event. Total: any octets give an event, in time linear in their number; pure."""
    return Converted(mail, options)
