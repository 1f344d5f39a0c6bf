"""Mailpit's `/api/v1`: the calls that test tools make, answered in the shapes they know."""

import asyncio
import resource
import sys

import msgspec
from aiohttp import web

from mailbell.event.convert import Converted
from mailbell.mailbox import Entry, Search, Which
from mailbell.settings import ChaosRule
from mailbell.web import requests, shapes, view
from mailbell.web.compose import compose
from mailbell.web.ports import NotReleased, Parts
from mailbell.web.routing import Route, reply
from mailbell.web.thumbs import Thumbs

LARGE = 256 * 1024
"""Checksums of more octets are not made on the loop."""


class Mailpit:
    """The handlers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._mailbox = parts.mailbox
        self._began = parts.clock.monotonic()
        self._thumbs = Thumbs()

    def routes(self) -> list[Route]:
        """What is answered here."""
        return [
            Route("GET", "/api/v1/messages", self.messages, shapes.Listing, query=requests.Listing),
            Route("PUT", "/api/v1/messages", self.mark, body=requests.Selection),
            Route("DELETE", "/api/v1/messages", self.delete, body=requests.Selection),
            Route("GET", "/api/v1/search", self.search, shapes.Listing, query=requests.SearchPage),
            Route("DELETE", "/api/v1/search", self.delete_found, query=requests.Searching),
            Route("POST", "/api/v1/send", self.send, shapes.Sent, requests.Message),
            Route("GET", "/api/v1/message/{id_}", self.message, shapes.Detail),
            Route("GET", "/api/v1/message/{id_}/headers", self.headers, dict[str, list[str]]),
            Route("GET", "/api/v1/message/{id_}/raw", self.raw, query=requests.Download),
            Route("GET", "/api/v1/message/{id_}/part/{number}", self.part, "*/*"),
            Route("GET", "/api/v1/message/{id_}/part/{number}/thumb", self.thumb, "image/*"),
            Route("POST", "/api/v1/message/{id_}/release", self.release, body=requests.Recipients),
            Route("GET", "/api/v1/tags", self.tags, list[str]),
            Route("PUT", "/api/v1/tags", self.set_tags, body=requests.Selection),
            Route("PUT", "/api/v1/tags/{tag}", self.rename_tag, body=requests.TagName),
            Route("DELETE", "/api/v1/tags/{tag}", self.remove_tag),
            Route("GET", "/api/v1/info", self.info, shapes.Info),
            Route("GET", "/api/v1/webui", self.webui, shapes.WebUi),
            Route("GET", "/api/v1/chaos", self.chaos, shapes.Triggers),
            Route("PUT", "/api/v1/chaos", self.set_chaos, shapes.Triggers, requests.Triggers),
            Route("GET", "/view/{id_}.html", self.as_html, "text/html"),
            Route("GET", "/view/{id_}.txt", self.as_text),
            Route("GET", "/livez", self.alive, open=True),
            Route("GET", "/readyz", self.ready, open=True),
        ]

    # Lists.

    async def messages(self, request: web.Request) -> web.Response:
        """The mails, newest first."""
        asked = requests.lenient(request, requests.Listing)
        return await self._list(asked, None, asked.before)

    async def search(self, request: web.Request) -> web.Response:
        """The mails that a query finds, newest first."""
        return await self._list(requests.lenient(request, requests.Paging), requests.search(request))

    async def _list(self, asked: requests.Paging, search: Search | None, before: int = 0) -> web.Response:
        page = await self._mailbox.page(search, start=asked.start, limit=asked.limit, before=before)
        counts, tags = await self._mailbox.counts(), await self._mailbox.tags()
        mark = self._parts.deliveries.mark
        return reply(shapes.listing(page, counts, asked.start, tags, mark))

    async def mark(self, request: web.Request) -> web.Response:
        """Mark mails as read or unread; without IDs and Search: all."""
        body = await requests.read(request, requests.Selection)
        which: Which = body.ids or None
        if which is None and body.search:
            which = requests.search_for(body.search, request.query.get("tz", ""))
        await self._mailbox.set_read(which, body.read)
        return _ok()

    async def delete(self, request: web.Request) -> web.Response:
        """Delete mails; without IDs, without a body, or with one that is no JSON: all."""
        try:
            ids = (await requests.read(request, requests.Selection)).ids
        except web.HTTPBadRequest:
            ids = None
        await self._mailbox.delete(ids or None)
        return _ok()

    async def delete_found(self, request: web.Request) -> web.Response:
        """Delete the mails that a query finds."""
        await self._mailbox.delete(requests.search(request))
        return _ok()

    # One mail.

    async def message(self, _request: web.Request, id_: str) -> web.Response:
        """One mail, which counts as read from now on."""
        entry, item = await self._find(id_)
        if not entry.read:
            await self._mailbox.set_read([entry.summary.id], True)
        if len(item.mail.raw) > LARGE:
            return reply(await asyncio.to_thread(shapes.detail, entry, item))
        return reply(shapes.detail(entry, item))

    async def raw(self, request: web.Request, id_: str) -> web.Response:
        """The octets of a mail, as received."""
        _, item = await self._find(id_)
        return view.source(item, requests.lenient(request, requests.Download).dl == "1")

    async def part(self, _request: web.Request, id_: str, number: str) -> web.Response:
        """The octets of an attachment."""
        _, item = await self._find(id_)
        return view.part(item, number)

    async def thumb(self, request: web.Request, id_: str, number: str) -> web.Response:
        """An attached picture, made small."""
        _, item = await self._find(id_)
        return await self._thumbs.answer(request, item, view.attachment(item, number))

    async def release(self, request: web.Request, id_: str) -> web.Response:
        """Hand a mail on to a real mail server, to other recipients."""
        release = self._parts.release
        if release is None:
            raise web.HTTPBadRequest(text='no server to release to; add a sink with type = "smtp"')
        body = await requests.read(request, requests.Recipients)
        if not body.to:
            raise web.HTTPBadRequest(text="no recipients; give To")
        _, item = await self._find(id_)
        try:
            await release(item, body.to)
        except NotReleased as error:
            raise web.HTTPBadRequest(text=f"not released: {error}") from error
        return _ok()

    async def send(self, request: web.Request) -> web.Response:
        """Make a mail and take it in: it goes the way of all mail."""
        message = await requests.read(request, requests.Message)
        remote = request.remote or "127.0.0.1"
        try:
            mail = compose(message, self._parts.ioserver, remote, self._parts.clock.time())
        except (ValueError, LookupError) as error:
            raise web.HTTPBadRequest(text=f"no mail can be made of this: {error}") from error
        await self._parts.journal.append(mail)
        return reply(shapes.Sent(id=mail.id))

    async def _find(self, id_: str) -> tuple[Entry, Converted]:
        entry = await self._mailbox.find(id_)
        if entry is None:
            raise web.HTTPNotFound(text="the inbox has no such mail")
        return entry, await self._parts.item(entry.sequence)

    async def headers(self, _request: web.Request, id_: str) -> web.Response:
        """The header fields of a mail by name, each with all its values."""
        return reply(shapes.headers((await self._find(id_))[1]))

    async def as_html(self, _request: web.Request, id_: str) -> web.Response:
        """The HTML of a mail, to be shown in a sandbox; of a mail without, its text."""
        return view.as_html((await self._find(id_))[1])

    async def as_text(self, _request: web.Request, id_: str) -> web.Response:
        """The text of a mail."""
        return view.as_text((await self._find(id_))[1])

    # Tags.

    async def tags(self, _request: web.Request) -> web.Response:
        """All tags in use."""
        return reply(await self._mailbox.tags())

    async def set_tags(self, request: web.Request) -> web.Response:
        """Let mails have these tags and no others."""
        body = await requests.read(request, requests.Selection)
        await self._mailbox.set_tags(body.ids or [], body.tags or [])
        return _ok()

    async def rename_tag(self, request: web.Request, tag: str) -> web.Response:
        """Give a tag another name."""
        body = await requests.read(request, requests.TagName)
        if not body.name.strip():
            raise web.HTTPBadRequest(text="a tag needs a name; give Name")
        await self._mailbox.rename_tag(tag, body.name)
        return _ok()

    async def remove_tag(self, _request: web.Request, tag: str) -> web.Response:
        """Take a tag off every mail."""
        await self._mailbox.remove_tag(tag)
        return _ok()

    # The server.

    async def info(self, _request: web.Request) -> web.Response:
        """Figures of this server. Nothing is asked of the Internet: the latest version known is this one."""
        counts, parts = await self._mailbox.counts(), self._parts
        stats = shapes.RuntimeStats(
            uptime=int(parts.clock.monotonic() - self._began),
            memory=_memory(),
            messages_deleted=counts.deleted,
            smtp_accepted=counts.arrived,
            smtp_accepted_size=counts.arrived_octets,
            smtp_rejected=0,
            smtp_ignored=0,
        )
        info = shapes.Info(
            version=parts.version,
            latest_version=parts.version,
            database=parts.database,
            database_size=counts.octets,
            messages=counts.total,
            unread=counts.unread,
            tags=dict(await self._mailbox.tag_counts()),
            runtime_stats=stats,
        )
        return reply(info)

    async def webui(self, _request: web.Request) -> web.Response:
        """What a page has to know of this server."""
        release = self._parts.release
        relay = shapes.Relay(enabled=release is not None, smtp_server=release.server if release else "")
        made = shapes.WebUi(
            label="",
            message_relay=relay,
            spam_assassin=False,
            chaos_enabled=True,
            duplicates_ignored=False,
            hide_delete_all_button=False,
        )
        return reply(made)

    async def chaos(self, _request: web.Request) -> web.Response:
        """The failures made on purpose; of several I/O servers, those of the first."""
        rules = await self._parts.reception.chaos()
        made = shapes.Triggers(
            sender=_trigger(rules.sender),
            recipient=_trigger(rules.recipient),
            authentication=_trigger(rules.authentication),
        )
        return reply(made)

    async def set_chaos(self, request: web.Request) -> web.Response:
        """Make failures on purpose, on every I/O server, until the next start."""
        body = await requests.read(request, requests.Triggers)
        rules = {
            name: _rule(trigger)
            for name, trigger in zip(body.__struct_fields__, msgspec.structs.astuple(body), strict=True)
        }
        await self._parts.reception.set_chaos(rules)
        return await self.chaos(request)

    async def alive(self, _request: web.Request) -> web.Response:
        """Whether it runs."""
        return _ok()

    async def ready(self, _request: web.Request) -> web.Response:
        """Whether it takes mail and the inbox is complete."""
        trouble = await self._parts.reception.trouble()
        if trouble is not None:
            raise web.HTTPServiceUnavailable(text=trouble)
        if not self._mailbox.ready:
            raise web.HTTPServiceUnavailable(text="the inbox's index is being made")
        return _ok()


def _trigger(rule: ChaosRule) -> shapes.Trigger:
    return shapes.Trigger(error_code=rule.code, probability=round(rule.probability * 100))


def _rule(trigger: requests.Trigger) -> ChaosRule:
    if not 400 <= trigger.error_code <= 599 or not 0 <= trigger.probability <= 100:
        raise web.HTTPBadRequest(text="ErrorCode is 400 to 599, Probability 0 to 100 percent")
    return ChaosRule(code=trigger.error_code, probability=trigger.probability / 100)


def _memory() -> int:
    """The most octets of memory that the process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _ok() -> web.Response:
    return web.Response(text="ok")
