"""What clients send: parameters and bodies. Mailpit's write keys in any case, and numbers as they like."""

from contextlib import suppress
from functools import cache
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from aiohttp import web
from msgspec import Meta

from mailbell.mailbox import Search
from mailbell.web.shapes import mailpit

LARGEST = 2**53

T = TypeVar("T", bound=msgspec.Struct)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the parameters in a query."""


class Paging(Query, frozen=True, kw_only=True):
    """Some of a list."""

    start: Annotated[int, Meta(ge=0, le=LARGEST, description="Leave out so many.")] = 0
    limit: Annotated[int, Meta(ge=0, le=LARGEST, description="The most that are answered; 0: all.")] = 50


class Listing(Paging, frozen=True, kw_only=True):
    """A page of the list."""

    before: Annotated[
        int, Meta(ge=0, le=LARGEST, description="Only mail that came before this millisecond since 1970.")
    ] = 0


Sought = Annotated[str, Meta(min_length=1, description="In Mailpit's language, see docs/inbox.md.")]
Zone = Annotated[str, Meta(description="The zone of dates in the query, such as Europe/Rome.")]


class Searching(Query, frozen=True, kw_only=True):
    """What is searched for."""

    query: Sought
    tz: Zone = "UTC"


class SearchPage(Paging, frozen=True, kw_only=True):
    """A page of what is found."""

    query: Sought
    tz: Zone = "UTC"


class Download(Query, frozen=True, kw_only=True):
    """How the source is shown."""

    dl: Annotated[str, Meta(description="1: to be saved as a file.")] = ""


class Body(msgspec.Struct, frozen=True, kw_only=True, rename=mailpit):
    """Base of what is read; its keys may be written in any case, for Go's decoder does not mind it."""


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
    filename: str = msgspec.field(default="", name="Filename")
    content_type: str = ""
    content_id: str = ""


class Message(Body, frozen=True, kw_only=True):
    """A mail to be made."""

    from_: Mailbox = msgspec.field(name="From")
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


class Triggers(Body, frozen=True, kw_only=True, rename="pascal"):
    """All of them; those left out are off."""

    sender: Trigger = Trigger()
    recipient: Trigger = Trigger()
    authentication: Trigger = Trigger(error_code=535)


async def read(request: web.Request, kind: type[T]) -> T:
    """Read a body of Mailpit's; HTTPBadRequest says what is wrong with it."""
    try:
        return msgspec.convert(_in_our_case(msgspec.json.decode(await request.read())), kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise web.HTTPBadRequest(text=f"the body can't be used: {error}") from None


async def read_exactly(request: web.Request, kind: type[T]) -> T:
    """Read a body of ours, whose keys have one case."""
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise web.HTTPBadRequest(text=f"the body: {error}") from None


def query(request: web.Request, kind: type[T]) -> T:
    """Read the parameters; HTTPBadRequest says what is wrong with them. Others are let be."""
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except msgspec.ValidationError as error:
        raise web.HTTPBadRequest(text=f"the query: {error}") from None


def lenient(request: web.Request, kind: type[T]) -> T:
    """Read the parameters as Mailpit does: a value that makes no sense counts as not given."""
    given = {}
    for field in msgspec.structs.fields(kind):
        with suppress(msgspec.ValidationError):
            given[field.name] = msgspec.convert(
                request.query.get(field.encode_name), field.type, strict=False
            )
    return kind(**given)


def search(request: web.Request) -> Search:
    """Read a search; HTTPBadRequest without a query."""
    text = request.query.get("query", "").strip()
    if not text:
        raise web.HTTPBadRequest(text="no search query; give ?query=…")
    return search_for(text, request.query.get("tz", ""))


def search_for(text: str, zone: str) -> Search:
    """A search with dates of this zone; of one that is none, UTC."""
    try:
        return Search(text, ZoneInfo(zone or "UTC"))
    except (ValueError, OSError, LookupError):
        return Search(text)


def _in_our_case(value: Any) -> Any:
    """Write all keys that we know as we do; but not the names of header fields."""
    match value:
        case dict():
            ours = {_known().get(key.lower(), key): each for key, each in value.items()}
            return {key: each if key == "Headers" else _in_our_case(each) for key, each in ours.items()}
        case list():
            return [_in_our_case(each) for each in value]
        case _:
            return value


@cache
def _known() -> dict[str, str]:
    names = [field.encode_name for kind in Body.__subclasses__() for field in msgspec.structs.fields(kind)]
    return {name.lower(): name for name in names}
