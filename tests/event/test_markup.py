"""HTML as text: readable for people, whatever the HTML."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.event.defects import Defects
from mailbell.event.markup import MAX_TAGS, to_text


def rendered(source: str) -> str:
    return to_text(source, Defects())


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("", ""),
        ("plain &amp; simple", "plain & simple"),
        ("<p>one<p>two\n three", "one\n\ntwo three"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<div>a<div>b</div></div>c", "a\nb\nc"),
        ("a<b>b</b>c <i> d </i>", "abc d"),
        ("<h1>Alarm</h1>now", "Alarm\n\nnow"),
        ("a<hr>b", "a\n\n----------\n\nb"),
        # links
        ('<a href="http://x/y">cam</a>', "cam (http://x/y)"),
        ("<a href=http://x/y>http://x/y</a>", "http://x/y"),
        ("<a href='https://www.x.y/'>www.x.y</a>", "www.x.y"),
        ("<a href='mailto:a@b'>a@b</a>", "a@b"),
        ("<a href='mailto:a@b'>write</a>", "write (mailto:a@b)"),
        ("<a href='#top'>up</a> <a name=x>y</a>", "up y"),
        ("<a href=http://x>a<a href=http://y>b</a>", "a (http://x)b (http://y)"),
        ("<a href='http://x?a=1&amp;b=2'>go</a>", "go (http://x?a=1&b=2)"),
        ("<a href=http://x><img src=i></a>.", "."),
        ("<img alt='a cam'> on", "a cam on"),
        # lists
        ("<ul><li>a<li>b</ul>c", "- a\n- b\n\nc"),
        ("x<ul><li>a<ul><li>b</ul></ul>y", "x\n\n- a\n  - b\n\ny"),
        ("<ol><li>a</li><li>b</li></ol>", "1. a\n2. b"),
        ("<li>alone", "- alone"),
        # tables
        ("<table><tr><th>a<th>b<tr><td>1<td>2</table>", "a | b\n1 | 2"),
        ("<tr><td><p>a</p></td><td></td><td><p>b</p></td></tr>c", "a | b\n\nc"),
        ("<tr><td>a<br>b</td><td>c</td></tr>", "a\nb\nc"),
        # what is not shown
        ("<head><title>t</title><style>p{}</style></head><body>x", "x"),
        ("a<script>if (a<b) '</p>'</script>b", "ab"),
        ("a<!-- <p>b</p> -->c<!---->d<!-->e", "acde"),
        ("<!--[if mso]>a<![endif]--><![if !mso]>b<![endif]>", "b"),
        ("<div style='display: none'>pre</div>shown", "shown"),
        ("<!DOCTYPE html><?xml version='1'?>x", "x"),
        # quotes and preformatted text
        ("<blockquote>a<br>b<blockquote>c</blockquote></blockquote>d", "a\n> b\n\n> > c\n\nd"),
        ("a<pre>\n 1  2\n\n  3\n</pre>b", "a\n\n 1  2\n\n  3\n\nb"),
        # broken
        ("a < b and <3", "a < b and <3"),
        ("a<b", "a"),
        ("<p title='a > b'>c", "c"),
        ("<p title=don't>c</p>d", "c\n\nd"),
        ("<style>never closed", "never closed"),
        ("<div style='display:none'>never closed", "never closed"),
        ("</p></ul></a></blockquote>x", "x"),
        ("&bogus; &#0; &#xD800; &#128; &lt;b&gt; AT&T &nbsp;.", "&bogus; \ufffd \ufffd € <b> AT&T  ."),
    ],
)
def test_html(source: str, text: str) -> None:
    assert rendered(source) == text


def test_too_many_tags_lose_their_form_only() -> None:
    defects = Defects()
    text = to_text("<b>a</b>" * MAX_TAGS + "<p>end</p>", defects)
    assert text.count("a") == MAX_TAGS
    assert text.endswith("a end")
    assert defects.all() == (f"HTML with more than {MAX_TAGS} tags: the rest of its text without form",)


PIECES = [
    "<",
    ">",
    "</",
    "a",
    " ",
    "\n",
    '"',
    "'",
    "=",
    "<p>",
    "<a href=",
    "</a>",
    "<td>",
    "<tr>",
    "<ul>",
    "<li>",
    "<pre>",
]
PIECES += [
    "</pre>",
    "<!--",
    "-->",
    "<style>",
    "</style>",
    "&",
    "&#",
    ";",
    "<blockquote>",
    "<img alt=",
    "display:none",
]


@given(st.lists(st.sampled_from(PIECES) | st.characters()).map("".join))
def test_any_html_is_some_text(source: str) -> None:
    assert b"\0" not in rendered(source).encode()
