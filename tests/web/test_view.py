"""Mail for a browser: whatever stands in it, it runs nothing, loads nothing, and forges no header."""

import re
from email.message import EmailMessage
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailbell.event.convert import ConvertOptions, convert
from mailbell.mail import Envelope, Mail, Source
from mailbell.web import view
from mailbell.web.view import disarm
from tests.web.conftest import Api

POLICY = (
    "sandbox; default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline'; form-action 'none'; "
    "base-uri 'none'"
)

HOSTILE = """<html><head><base href="http://evil.example/">
<meta http-equiv="refresh" content="0;url=http://evil.example/r">
<link rel="prefetch" href="http://evil.example/p"><style>@import url(http://evil.example/c);</style></head>
<body onload="alert(1)"><script>alert(1)</script><img src=x onerror="alert(1)">
<form action="http://evil.example/f"></form>
<svg onload="alert(1)"></svg><iframe src="javascript:alert(1)"></iframe>
<a href="javascript:alert(1)">x</a></body>"""


def message(name: str = "x.png", kind: bytes = b"image/png", cid: str = "pic") -> bytes:
    return (
        b"From: a@b.lan\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\n"
        b'Content-Type: text/html\r\n\r\n<img src="cid:' + cid.encode() + b'">\r\n--b\r\n'
        b"Content-Type: " + kind + b"\r\nContent-ID: <" + cid.encode() + b">\r\n"
        b"Content-Disposition: attachment; filename*=UTF-8''" + _quoted(name) + b"\r\n\r\n"
        b"\x89PNG\r\n\x1a\n0000IHDR\r\n--b--\r\n"
    )


def _quoted(name: str) -> bytes:
    return "".join(f"%{octet:02X}" for octet in name.encode(errors="replace")).encode()


def item(raw: bytes) -> object:
    mail = Mail("m", 0, "smtp", Source("127.0.0.1", 1), Envelope("", ()), raw)
    return convert(mail, ConvertOptions())


async def test_the_policy_of_a_mails_html(api: Api) -> None:
    made = EmailMessage()
    made["From"], made["To"] = "a@b.lan", "c@b.lan"
    made.set_content(HOSTILE, subtype="html")
    await api.put(made)
    for path in ("/view/latest.html", "/view/latest.txt", "/api/v1/message/latest/raw"):
        async with api.http.get(api.url + path) as response:
            assert response.headers.getall("Content-Security-Policy") == [POLICY]
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            expected = "text/html" if path.endswith("html") else "text/plain"
            assert response.content_type == expected


async def test_an_attached_page_is_saved_and_not_shown(api: Api) -> None:
    made = EmailMessage()
    made["From"], made["To"] = "a@b.lan", "c@b.lan"
    made.set_content("see")
    made.add_attachment(HOSTILE.encode(), "text", "html", filename="page.html")
    made.add_attachment(b"<svg onload='alert(1)'/>", "image", "svg+xml", filename="x.svg")
    await api.put(made)
    for number in (1, 2):
        async with api.http.get(f"{api.url}/api/v1/message/latest/part/{number}") as response:
            assert response.headers["Content-Security-Policy"] == POLICY
            assert response.headers["Content-Disposition"].startswith("attachment;")


@given(st.text(max_size=60))
def test_a_name_can_end_no_header(name: str) -> None:
    value = view._disposition(name)["Content-Disposition"]
    assert re.fullmatch(r"attachment; filename\*=UTF-8''[A-Za-z0-9_.~%-]*", value)


@given(st.text(max_size=40), st.binary(max_size=30), st.text(max_size=20))
def test_whatever_stands_in_a_part(name: str, kind: bytes, cid: str) -> None:
    converted = item(message(name, kind.replace(b"\n", b"").replace(b"\r", b""), cid))
    for number in range(1, len(converted.event.attachments) + 1):  # type: ignore[attr-defined]
        response = view.part(converted, str(number))  # type: ignore[arg-type]
        for header, value in response.headers.items():
            assert value.isprintable(), header
        assert "/" not in response.headers["Content-Disposition"]
    page = view.as_html(converted)  # type: ignore[arg-type]
    assert page.headers["Content-Security-Policy"] == POLICY


@pytest.mark.parametrize("number", ["0", "-1", "1e0", "²", "٣", "..%2fraw", "1\0", "9" * 9])
async def test_part_numbers_that_are_none(api: Api, number: str) -> None:
    await api.put(message())
    status, _ = await api.ask("GET", f"/api/v1/message/latest/part/{number.replace(chr(0), '%00')}")
    assert status == 404
    status, _ = await api.ask("GET", f"/api/v1/message/latest/part/{number.replace(chr(0), '%00')}/thumb")
    assert status == 404


@pytest.mark.parametrize(
    "id_", ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%00", "' or 1=1 --", "%ff%fe", "x" * 5000]
)
async def test_ids_that_are_none(api: Api, id_: str) -> None:
    await api.mail()
    for path in (
        "/api/v1/message/{}",
        "/view/{}.html",
        "/api/v1/message/{}/event",
        "/api/v1/message/{}/part/1",
    ):
        assert (await api.ask("GET", path.format(id_)))[0] in (400, 404)


ARMED = {"iframe", "frame", "frameset", "fencedframe", "portal", "object", "embed", "link", "base"}
PIECES = [
    "<",
    "</",
    "<!--",
    "-->",
    ">",
    "/",
    " ",
    "\n",
    "\0",
    "=",
    '"',
    "'",
    "a",
    "x",
    "svg:",
    "é",
    *ARMED,
    "IFRAME",
]


class Tags(HTMLParser):
    """The names of the tags that a parser finds."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, _attrs: object) -> None:
        self.names.add(tag)


@pytest.mark.parametrize(
    ("source", "disarmed"),
    [
        ("<link rel=preconnect href=//x>", "<basefont rel=preconnect href=//x>"),
        ("<IFrame src=//x>y</IFRAME>", "<noembed src=//x>y</noembed>"),
        ("<frameset><frame src=//x></frameset>", "<x-frameset><x-frame src=//x></x-frameset>"),
        ("<object data=//x>instead</object>", "<x-object data=//x>instead</x-object>"),
        ("<p>frame, link & base</p><a href=#>x</a>", "<p>frame, link & base</p><a href=#>x</a>"),
    ],
)
def test_disarm(source: str, disarmed: str) -> None:
    assert disarm(source) == disarmed


@given(st.lists(st.sampled_from(PIECES)).map("".join) | st.text())
@example("<<link>")
@example("<lin<link>k>")
@example("<iframe<iframe>")
def test_nothing_that_is_armed_is_left(source: str) -> None:
    disarmed = disarm(source)
    assert not Tags(disarmed).names & ARMED
    left = disarmed.lower().replace("<basefont", "")
    assert not any(f"<{name}" in left for name in ARMED), "a browser may take itself to be elsewhere"
