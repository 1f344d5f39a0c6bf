"""What clients send: bodies with keys in any case, and numbers in queries that may be anything."""

from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from aiohttp import web

from mailbell.mailbox import Search

LIMIT = 50
LARGEST = 2**53

T = TypeVar("T", bound=msgspec.Struct)


class Body(msgspec.Struct, frozen=True, kw_only=True, rename=lambda name: name.replace("_", "")):
    """Base of what is read: the keys are lower-cased first, for Go's decoder does not mind their case."""


class Selection(Body, frozen=True, kw_only=True):
    """Which mails, and what becomes of them."""

    ids: list[str] | None = None
    read: bool = False
    search: str = ""
    tags: list[str] | None = None


class Recipients(Body, frozen=True, kw_only=True):
    """To whom a mail is released."""

    to: list[str] | None = None


class TagName(Body, frozen=True, kw_only=True):
    name: str


class Mailbox(Body, frozen=True, kw_only=True):
    email: str
    name: str = ""


class File(Body, frozen=True, kw_only=True):
    content: bytes
    """base64."""
    filename: str = ""
    content_type: str = ""
    content_id: str = ""


class Message(Body, frozen=True, kw_only=True):
    """A mail to be made."""

    from_: Mailbox = msgspec.field(name="from")
    to: list[Mailbox] | None = None
    cc: list[Mailbox] | None = None
    bcc: list[str] | None = None
    reply_to: list[Mailbox] | None = None
    subject: str = ""
    text: str = ""
    html: str = ""
    tags: list[str] | None = None
    headers: dict[str, str] | None = None
    attachments: list[File] | None = None


class Trigger(Body, frozen=True, kw_only=True):
    """One of chaos' failures."""

    error_code: int = 451
    probability: int = 0


class Triggers(Body, frozen=True, kw_only=True):
    """All of them; those left out are off."""

    sender: Trigger = Trigger()
    recipient: Trigger = Trigger()
    authentication: Trigger = Trigger(error_code=535)


async def read(request: web.Request, kind: type[T]) -> T:
    """Read a body; HTTPBadRequest says what is wrong with it."""
    try:
        return msgspec.convert(_lower(msgspec.json.decode(await request.read())), kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise web.HTTPBadRequest(text=f"the body can't be used: {error}") from None


def number(request: web.Request, name: str, default: int) -> int:
    """Read a number of the query; what is none counts as the default."""
    text = request.query.get(name, "")
    return min(int(text), LARGEST) if text.isascii() and text.isdecimal() and len(text) < 20 else default


def search(request: web.Request) -> Search:
    """Read a search; HTTPBadRequest without a query."""
    text = request.query.get("query", "").strip()
    if not text:
        raise web.HTTPBadRequest(text="no search query; give ?query=…")
    try:
        return Search(text, ZoneInfo(request.query.get("tz") or "UTC"))
    except (ValueError, OSError, LookupError):
        return Search(text)


def _lower(value: Any) -> Any:
    """Lower-case all keys but the names of header fields."""
    match value:
        case dict():
            lowered = {key.lower(): each for key, each in value.items() if isinstance(key, str)}
            return {key: each if key == "headers" else _lower(each) for key, each in lowered.items()}
        case list():
            return [_lower(each) for each in value]
        case _:
            return value
