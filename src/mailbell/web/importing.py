"""`POST /api/v1/import`, on the control socket alone: mail of an archive, put into the journal as it is."""

import asyncio
import re

import msgspec
from aiohttp import web

from mailbell.errors import JournalError
from mailbell.journal.base import Journal
from mailbell.mail import Mail
from mailbell.web.routing import Route

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_decode = msgspec.msgpack.Decoder(list[Mail]).decode


class Imported(msgspec.Struct, frozen=True):
    """The IDs of those that are on stable storage, and why the others are not."""

    stored: list[str]
    error: str | None


def route(journal: Journal) -> Route:
    """Make the route. Its body is a list of `Mail` in MessagePack."""

    async def handler(request: web.Request) -> web.Response:
        try:
            mails = _decode(await request.read())
        except msgspec.MsgspecError as error:
            raise web.HTTPBadRequest(text=f"not a list of mails: {error}") from None
        if wrong := next((each.id for each in mails if not _ID.fullmatch(each.id)), None):
            raise web.HTTPBadRequest(text=f"{wrong[:50]!a} is no ID of a mail")
        answers = await asyncio.gather(*map(journal.append, mails), return_exceptions=True)
        failed = [each for each in answers if isinstance(each, BaseException)]
        for each in failed:
            if not isinstance(each, JournalError):
                raise each
        stored = [mail.id for mail, each in zip(mails, answers, strict=True) if isinstance(each, int)]
        done = Imported(stored, str(failed[0]) if failed else None)
        return web.Response(body=msgspec.json.encode(done), content_type="application/json")

    return Route("POST", "/api/v1/import", handler)
