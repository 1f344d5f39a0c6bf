"""A mail from what `POST /api/v1/send` says."""

import re
from email import policy
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from mailbell.mail import Envelope, Mail, Source, new_id
from mailbell.web.requests import File, Mailbox, Message

_NAME = re.compile(r"[!-9;-~]{1,100}")
_TYPE = re.compile(r"[\w.+-]{1,80}/[\w.+-]{1,80}", re.ASCII)
_SET = frozenset(("from", "to", "cc", "bcc", "reply-to", "subject", "date", "x-tags", "mime-version"))
"""Fields that have a place of their own in the request."""


def compose(message: Message, ioserver: str, remote: str, now: float) -> Mail:
    """Make the mail; ValueError says what can't be part of one."""
    recipients = [each.email for each in (*(message.to or ()), *(message.cc or ()))] + (message.bcc or [])
    if not recipients:
        raise ValueError("no recipients: give To, Cc or Bcc")
    addresses = [message.from_.email, *recipients]
    ascii_only = all(each.isascii() for each in addresses)
    made = EmailMessage(policy.SMTP if ascii_only else policy.SMTPUTF8)
    _write_header(made, message, now)
    _write_body(made, message)
    at = int(now * 1000)
    envelope = Envelope(message.from_.email, tuple(dict.fromkeys(recipients)))
    return Mail(new_id(at), at, ioserver, Source(remote, 0, "api"), envelope, made.as_bytes())


def _write_header(made: EmailMessage, message: Message, now: float) -> None:
    made["From"] = _address(message.from_)
    for name, some in (("To", message.to), ("Cc", message.cc), ("Reply-To", message.reply_to)):
        if some:
            made[name] = tuple(map(_address, some))
    for each in message.bcc or ():
        _address(Mailbox(email=each))
    made["Subject"] = message.subject
    made["Date"] = formatdate(now, localtime=True)
    if message.tags:
        made["X-Tags"] = ", ".join(message.tags)
    for name, value in (message.headers or {}).items():
        if not _NAME.fullmatch(name) or name.lower() in _SET or name.lower().startswith("content-"):
            raise ValueError(f"{name!a} can't be set by Headers")
        made[name] = value
    if "Message-ID" not in made:
        made["Message-ID"] = make_msgid(domain="mailbell")


def _write_body(made: EmailMessage, message: Message) -> None:
    made.set_content(message.text)
    if message.html:
        made.add_alternative(message.html, subtype="html")
    for each in message.attachments or ():
        _attach(made, each)


def _attach(made: EmailMessage, file: File) -> None:
    kind = file.content_type or "application/octet-stream"
    main, _, sub = kind.partition("/")
    if not _TYPE.fullmatch(kind):
        raise ValueError(f"{kind!a} is no content type")
    if main in ("message", "multipart"):  # these must not be base64 (RFC 2045 §6.4)
        main, sub = "application", "octet-stream"
    made.add_attachment(
        file.content,
        main,
        sub,
        filename=file.filename or "attachment",
        disposition="inline" if file.content_id else "attachment",
        cid=f"<{file.content_id.strip('<>')}>" if file.content_id else None,
    )


def _address(mailbox: Mailbox) -> Address:
    try:
        return Address(mailbox.name, addr_spec=mailbox.email)
    except (ValueError, IndexError, MessageError) as error:
        raise ValueError(f"{mailbox.email!a} is no address: {error}") from None
