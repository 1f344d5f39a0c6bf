"""A mail for a browser. Its HTML is a stranger's: it runs nothing, loads nothing, and is of no origin."""

import base64
import html
import re
from urllib.parse import quote, unquote

from aiohttp import web

from mailbell.event.convert import Converted
from mailbell.event.schema import Attachment

SANDBOX = (
    "sandbox; default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline'; "
    "form-action 'none'; base-uri 'none'"
)
"""The attribute of an iframe alone let 18 remote loads through in a test."""

MAX_IMAGES = 32 * 2**20
"""Octets of images in one page: HTML may name the same one ten thousand times.

They stand in the page itself: to a sandboxed page, which is of no origin, we are a stranger's site, and the
pictures of mail are not for other sites to show.
"""

_ARMED = re.compile("<(/?)(iframe|frame|fencedframe|portal|object|embed|link|base)", re.IGNORECASE)
_DISARMED = {"iframe": "noembed", "link": "basefont", "base": "basefont", "embed": "wbr"}
"""Elements that a parser treats like those which they stand for, and that do nothing."""

_CID = re.compile(r"(?<![\w-])cid:([^\s\"'<>)]+)", re.IGNORECASE)
_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def as_html(item: Converted) -> web.Response:
    """The HTML of a mail, its `cid:` images in it; of one without, its text."""
    event = item.event
    if event.html is None:
        return _text(f"<!doctype html><pre>{html.escape(event.text)}</pre>", "text/html")
    images = {each.content_id: each for each in event.attachments if each.content_id and _is_image(each)}
    room = MAX_IMAGES

    def embed(found: re.Match[str]) -> str:
        nonlocal room
        image = images.get(unquote(html.unescape(found[1])))
        if image is None or image.size > room:
            return found[0]
        room -= image.size
        octets = base64.b64encode(item.attachment(image.index)).decode("ascii")
        return f"data:{image.detected_type};base64,{octets}"

    return _text(_CID.sub(embed, disarm(event.html)), "text/html")


def disarm(source: str) -> str:
    """Take out what makes a browser call on a stranger's server before it looks at the policy.

    Chromium 156 opens a connection, or looks up a name, for a frame and for `preconnect` and `dns-prefetch`
    links that it then blocks: enough to tell that the mail was read. Every one of these begins with its name
    right behind `<`; where that stands in something else, nobody sees the difference.
    """

    def rename(found: re.Match[str]) -> str:
        name = found[2].lower()
        return f"<{found[1]}{_DISARMED.get(name, f'x-{name}')}"

    return _ARMED.sub(rename, source)


def _is_image(part: Attachment) -> bool:
    return (part.detected_type or "").startswith("image/")


def as_text(item: Converted) -> web.Response:
    """The text of a mail."""
    return _text(item.event.text, "text/plain")


def source(item: Converted, download: bool) -> web.Response:
    """The octets of a mail."""
    headers = _disposition(f"{item.mail.id}.eml") if download else {}
    return web.Response(
        body=item.mail.raw,
        content_type="text/plain",
        headers={"Content-Security-Policy": SANDBOX, **headers},
    )


def attachment(item: Converted, number: str) -> Attachment:
    """The attachment with this PartID."""
    index = int(number) - 1 if number.isascii() and number.isdecimal() and len(number) < 9 else -1
    if not 0 <= index < len(item.event.attachments):
        raise web.HTTPNotFound(text="the mail has no such part")
    return item.event.attachments[index]


def part(item: Converted, number: str) -> web.Response:
    """The octets of an attachment, to be saved, under a name that is safe."""
    found = attachment(item, number)
    kind = found.content_type if _TYPE.fullmatch(found.content_type) else "application/octet-stream"
    headers = {"Content-Security-Policy": SANDBOX, **_disposition(found.filename or "attachment")}
    return web.Response(body=item.attachment(found.index), content_type=kind, headers=headers)


def _text(text: str, kind: str) -> web.Response:
    return web.Response(
        text=text, content_type=kind, charset="utf-8", headers={"Content-Security-Policy": SANDBOX}
    )


def _disposition(name: str) -> dict[str, str]:
    """RFC 6266, the name in RFC 8187's form, which leaves no character that could end it."""
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(_CONTROL.sub('_', name), safe='')}"}
