"""Mailpit's `/api/v1`: the calls that test tools make, answered in the shapes they know."""

import asyncio
import resource
import sys
from collections.abc import Callable

import msgspec
from aiohttp import web

from mailbell.event.convert import Converted
from mailbell.mailbox import Entry, Search, Which
from mailbell.settings import ChaosRule
from mailbell.web import requests, shapes, view
from mailbell.web.compose import compose
from mailbell.web.ports import NotReleased, Parts
from mailbell.web.routing import Handler, Route

LARGE = 256 * 1024
"""Checksums of more octets are not made on the loop."""


class Mailpit:
    """The handlers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._mailbox = parts.mailbox
        self._began = parts.clock.monotonic()

    def routes(self) -> list[Route]:
        """What is answered here."""
        return [
            Route("GET", "/api/v1/messages", self.messages),
            Route("PUT", "/api/v1/messages", self.mark),
            Route("DELETE", "/api/v1/messages", self.delete),
            Route("GET", "/api/v1/search", self.search),
            Route("DELETE", "/api/v1/search", self.delete_found),
            Route("POST", "/api/v1/send", self.send),
            Route("GET", "/api/v1/message/{id_}", self.message),
            Route("GET", "/api/v1/message/{id_}/headers", self._of(shapes.headers)),
            Route("GET", "/api/v1/message/{id_}/raw", self.raw),
            Route("GET", "/api/v1/message/{id_}/part/{number}", self.part),
            Route("GET", "/api/v1/message/{id_}/part/{number}/thumb", self.part),
            Route("POST", "/api/v1/message/{id_}/release", self.release),
            Route("GET", "/api/v1/tags", self.tags),
            Route("PUT", "/api/v1/tags", self.set_tags),
            Route("PUT", "/api/v1/tags/{tag}", self.rename_tag),
            Route("DELETE", "/api/v1/tags/{tag}", self.remove_tag),
            Route("GET", "/api/v1/info", self.info),
            Route("GET", "/api/v1/webui", self.webui),
            Route("GET", "/api/v1/chaos", self.chaos),
            Route("PUT", "/api/v1/chaos", self.set_chaos),
            Route("GET", "/view/{id_}.html", self._of(view.as_html)),
            Route("GET", "/view/{id_}.txt", self._of(view.as_text)),
            Route("GET", "/livez", self.alive),
            Route("GET", "/readyz", self.ready),
        ]

    # Lists.

    async def messages(self, request: web.Request) -> web.Response:
        """GET messages."""
        before = requests.number(request, "before", 0)
        return await self._list(request, None, before)

    async def search(self, request: web.Request) -> web.Response:
        """GET search."""
        return await self._list(request, requests.search(request), 0)

    async def _list(self, request: web.Request, search: Search | None, before: int) -> web.Response:
        start = requests.number(request, "start", 0)
        limit = requests.number(request, "limit", requests.LIMIT)
        page = await self._mailbox.page(search, start=start, limit=limit, before=before)
        counts, tags = await self._mailbox.counts(), await self._mailbox.tags()
        return shapes.reply(shapes.listing(page, counts, start, tags))

    async def mark(self, request: web.Request) -> web.Response:
        """PUT messages; without IDs and Search: all."""
        body = await requests.read(request, requests.Selection)
        which: Which = body.ids or None
        if which is None and body.search:
            which = Search(body.search)
        await self._mailbox.set_read(which, body.read)
        return _ok()

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE messages; without IDs, without a body, or with one that is no JSON: all."""
        try:
            ids = (await requests.read(request, requests.Selection)).ids
        except web.HTTPBadRequest:
            ids = None
        await self._mailbox.delete(ids or None)
        return _ok()

    async def delete_found(self, request: web.Request) -> web.Response:
        """DELETE search."""
        await self._mailbox.delete(requests.search(request))
        return _ok()

    # One mail.

    async def message(self, _request: web.Request, id_: str) -> web.Response:
        """GET message: it counts as read from now on."""
        entry, item = await self._find(id_)
        if not entry.read:
            await self._mailbox.set_read([entry.summary.id], True)
        if len(item.mail.raw) > LARGE:
            return shapes.reply(await asyncio.to_thread(shapes.detail, entry, item))
        return shapes.reply(shapes.detail(entry, item))

    async def raw(self, request: web.Request, id_: str) -> web.Response:
        """GET raw."""
        _, item = await self._find(id_)
        return view.source(item, request.query.get("dl") == "1")

    async def part(self, _request: web.Request, id_: str, number: str) -> web.Response:
        """GET part, and thumb: the picture itself, which a browser scales as well as we could."""
        _, item = await self._find(id_)
        return view.part(item, number)

    async def release(self, request: web.Request, id_: str) -> web.Response:
        """POST release."""
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
        """POST send: the mail goes the way of all mail."""
        message = await requests.read(request, requests.Message)
        remote = request.remote or "127.0.0.1"
        try:
            mail = compose(message, self._parts.ioserver, remote, self._parts.clock.time())
        except (ValueError, LookupError) as error:
            raise web.HTTPBadRequest(text=f"no mail can be made of this: {error}") from error
        await self._parts.journal.append(mail)
        return shapes.reply({"ID": mail.id})

    async def _find(self, id_: str) -> tuple[Entry, Converted]:
        entry = await self._mailbox.find(id_)
        if entry is None:
            raise web.HTTPNotFound(text="the inbox has no such mail")
        return entry, await self._parts.item(entry.sequence)

    def _of(self, answer: Callable[[Converted], object]) -> Handler:
        """A handler that answers from the mail alone."""

        async def handler(_request: web.Request, id_: str) -> web.Response:
            _, item = await self._find(id_)
            made = answer(item)
            return made if isinstance(made, web.Response) else shapes.reply(made)

        return handler

    # Tags.

    async def tags(self, _request: web.Request) -> web.Response:
        """GET tags."""
        return shapes.reply(await self._mailbox.tags())

    async def set_tags(self, request: web.Request) -> web.Response:
        """PUT tags."""
        body = await requests.read(request, requests.Selection)
        await self._mailbox.set_tags(body.ids or [], body.tags or [])
        return _ok()

    async def rename_tag(self, request: web.Request, tag: str) -> web.Response:
        """PUT tags/{tag}."""
        body = await requests.read(request, requests.TagName)
        if not body.name.strip():
            raise web.HTTPBadRequest(text="a tag needs a name; give Name")
        await self._mailbox.rename_tag(tag, body.name)
        return _ok()

    async def remove_tag(self, _request: web.Request, tag: str) -> web.Response:
        """DELETE tags/{tag}."""
        await self._mailbox.remove_tag(tag)
        return _ok()

    # The server.

    async def info(self, _request: web.Request) -> web.Response:
        """GET info. Nothing is asked of the Internet: the latest version known is this one."""
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
        return shapes.reply(info)

    async def webui(self, _request: web.Request) -> web.Response:
        """GET webui."""
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
        return shapes.reply(made)

    async def chaos(self, _request: web.Request) -> web.Response:
        """GET chaos; of several I/O servers, that of the first."""
        rules = await self._parts.reception.chaos()
        names = ("Sender", "Recipient", "Authentication")
        each = (rules.sender, rules.recipient, rules.authentication)
        return shapes.reply({name: _trigger(rule) for name, rule in zip(names, each, strict=True)})

    async def set_chaos(self, request: web.Request) -> web.Response:
        """PUT chaos, on every I/O server; until the next start."""
        body = await requests.read(request, requests.Triggers)
        rules = {
            name: _rule(trigger)
            for name, trigger in zip(body.__struct_fields__, msgspec.structs.astuple(body), strict=True)
        }
        await self._parts.reception.set_chaos(rules)
        return await self.chaos(request)

    async def alive(self, _request: web.Request) -> web.Response:
        """GET livez."""
        return _ok()

    async def ready(self, _request: web.Request) -> web.Response:
        """GET readyz."""
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
