"""What of a mail's HTML a browser gets."""

from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailbell.web.view import disarm

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
