"""HTML as text for people: paragraphs, lists, tables and links stay readable.

Libraries that build a tree need a hundred times the size of hostile input, and several go quadratic on it.
This renderer keeps a few counters, looks at every character once, and no nesting makes it deep.
"""

import html
import re
from collections.abc import Callable
from functools import cache, lru_cache

from mailbell.event.defects import Defects
from mailbell.event.text import clean

MAX_TAGS = 20_000
MAX_INDENT = 8
MAX_ENDLESS = 8

_TAG = re.compile(
    r"<(?:(/?)([a-z][a-z0-9]*+)((?:[^>=]++|=\s*+(?:\"[^\"]*\"|'[^']*')?)*+)(?:>|\Z)"
    r"|!--(?:-?>|.*?(?:-->|\Z))"
    r"|[!?/][^>]*+(?:>|\Z))",
    re.IGNORECASE | re.DOTALL,
)
_ANY_TAG = re.compile(r"<[a-z/!?][^>]*+>?", re.IGNORECASE)
_HREF = re.compile(r"\bhref\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))", re.IGNORECASE)
_ALT = re.compile(r"\balt\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))", re.IGNORECASE)
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_LINK = re.compile(r"(?:https?|ftp|mailto|tel):/*(.*?)/*$", re.IGNORECASE | re.DOTALL)
_REFERENCE = re.compile(
    r"&(?:#\d{1,7};?|#x[0-9a-f]{1,6};?|[a-z][a-z0-9]{1,30};|(?:amp|gt|lt|nbsp|quot)\b)", re.IGNORECASE
)

_PARAGRAPHS = "blockquote dl h1 h2 h3 h4 h5 h6 hr p pre"
_BLOCKS = """
    address article aside body br caption center dd details div dt fieldset figcaption figure footer form
    header legend li main nav option ol section summary table tbody tfoot thead tr ul
"""
# Line breaks around an element: two set it off by an empty line.
_BREAKS = dict.fromkeys(_BLOCKS.split(), 1) | dict.fromkeys(_PARAGRAPHS.split(), 2)
_NO_TEXT = frozenset(("script", "style", "title", "template", "noframes"))
# No others: to look for the end of what is hidden is a pattern and a search for each name.
_HIDEABLE = _NO_TEXT.union(_BREAKS, ("a", "b", "em", "font", "i", "small", "span", "strong", "u")) - {
    "br",
    "hr",
}


def to_text(source: str, defects: Defects) -> str:
    """Render HTML. After 20,000 tags the rest is shown without form, its tags taken out."""
    page = _Page(source)
    position = tags = 0
    for found in _TAG.finditer(source):
        start = found.start()
        if start < position:
            continue
        if start > position:
            page.text(source[position:start])
        position = found.end()
        slash, name, attributes = found.groups()
        if name:
            position = page.tag(name.lower(), attributes, position, closes=bool(slash))
        tags += 1
        if tags == MAX_TAGS:
            defects.note(f"HTML with more than {MAX_TAGS} tags: the rest of its text without form")
            break
    page.text(_ANY_TAG.sub(" ", source[position:]))
    return page.finish()


class _Page:
    """What has been written, and what the next text has to be set off by."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._out: list[str] = []
        self._breaks = 0
        self._space = self._cell = self._pre = False
        self._row_lines = 0
        self._quotes = 0
        self._counters: list[int | None] = []
        self._bullet = ""
        self._link: tuple[str, int] | None = None
        self._endless: set[str] = set()

    def text(self, data: str) -> None:
        """Text between two tags."""
        if self._pre:
            self._preformatted(data)
        elif words := " ".join(data.split()):
            self._space = self._space or data[0].isspace()
            self._write(words)
            self._space = data[-1].isspace()
        else:
            self._space = self._space or bool(data)

    def _preformatted(self, data: str) -> None:
        lines = data.lstrip("\n")
        self._breaks = max(self._breaks, len(data) - len(lines))
        if lines:
            text = lines.rstrip("\n")
            self._write(text)
            self._breaks = len(lines) - len(text)

    def tag(self, name: str, attributes: str, position: int, *, closes: bool) -> int:
        """Act on a tag that ends at `position`; return where to read on."""
        if action := _ACTIONS.get(name):
            action(self, attributes, closes)
        breaks = _BREAKS.get(name)
        if breaks and self._breaks < breaks and not self._cell:
            self._breaks = breaks
        if closes or name not in _HIDEABLE:
            return position
        if name in _NO_TEXT or (attributes and _HIDDEN.search(attributes)):
            return self._behind(name, position)
        return position

    def _behind(self, name: str, position: int) -> int:
        """Where an element without text for people ends; nothing is left out when nothing ends it."""
        if name not in self._endless and len(self._endless) < MAX_ENDLESS:
            if found := _end_of(name).search(self._source, position):
                return found.end()
            self._endless.add(name)
        return position

    def _write(self, text: str) -> None:
        out = self._out
        if out:
            if self._breaks:
                out.append("\n" * min(self._breaks, 3) + "> " * self._quotes)
            elif self._cell:
                out.append(" | ")
            elif self._space:
                out.append(" ")
        if self._bullet:
            out.append(self._bullet)
        out.append(text)
        self._row_lines = max(0, self._row_lines + bool(self._breaks))
        self._breaks, self._space, self._cell, self._bullet = 0, False, False, ""

    def finish(self) -> str:
        """Everything written, character references read."""
        return clean(_REFERENCE.sub(_character, "".join(self._out)))

    def row(self, _attributes: str, _closes: bool) -> None:
        """A row is a line; the line break in front of it is not one inside of it."""
        self._cell, self._row_lines = False, -1

    def cell(self, _attributes: str, closes: bool) -> None:
        """Cells share a line, unless one of them has several."""
        if not closes and self._row_lines == 0:
            self._breaks, self._cell = 0, True
        elif not closes and self._row_lines > 0:
            self._breaks = max(self._breaks, 1)

    def list_(self, _attributes: str, closes: bool, counter: int | None = None) -> None:
        """A list inside of a list moves to the right; only the outer one is set off."""
        if len(self._counters) == closes:
            self._breaks = max(self._breaks, 2)
        if closes:
            del self._counters[-1:]
        elif len(self._counters) < MAX_INDENT:
            self._counters.append(counter)

    def numbered(self, attributes: str, closes: bool) -> None:
        """A list with numbers."""
        self.list_(attributes, closes, 0)

    def item(self, _attributes: str, closes: bool) -> None:
        """A bullet or a number in front of the next text."""
        counter = self._counters[-1] if self._counters else None
        mark = "- "
        if counter is not None and not closes:
            self._counters[-1] = counter + 1
            mark = f"{counter + 1}. "
        self._bullet = "" if closes else "  " * (len(self._counters) - 1) + mark

    def quote(self, _attributes: str, closes: bool) -> None:
        """Quoted text is marked as in plain mail."""
        self._quotes = max(0, min(MAX_INDENT, self._quotes + (-1 if closes else 1)))

    def pre(self, _attributes: str, closes: bool) -> None:
        """Spaces and lines stay as they are."""
        self._pre = not closes

    def rule(self, _attributes: str, _closes: bool) -> None:
        """A line across the page."""
        self._breaks = 2
        self._write("-" * 10)

    def anchor(self, attributes: str, closes: bool) -> None:
        """The address of a link stands behind its text, unless it is the text."""
        if self._link and (target := _LINK.match(self._link[0])):
            shown = "".join(self._out[self._link[1] :]).strip()
            if shown and target[1] not in shown:
                self._out.append(f" ({self._link[0]})")
        found = None if closes else _HREF.search(attributes)
        self._link = (_value(found), len(self._out)) if found else None

    def image(self, attributes: str, _closes: bool) -> None:
        """The text that stands for a picture."""
        if found := _ALT.search(attributes):
            self.text(_value(found))


_ACTIONS: dict[str, Callable[[_Page, str, bool], None]] = {
    "a": _Page.anchor,
    "blockquote": _Page.quote,
    "hr": _Page.rule,
    "img": _Page.image,
    "li": _Page.item,
    "ol": _Page.numbered,
    "pre": _Page.pre,
    "td": _Page.cell,
    "th": _Page.cell,
    "tr": _Page.row,
    "ul": _Page.list_,
}


@cache
def _end_of(name: str) -> re.Pattern[str]:
    return re.compile(f"</{name}[^>]*+>?", re.IGNORECASE)


def _value(found: re.Match[str]) -> str:
    return (found[1] or found[2] or found[3] or "").strip()


def _character(found: re.Match[str]) -> str:
    return _referenced(found[0])


@lru_cache(512)
def _referenced(reference: str) -> str:
    return html.unescape(reference).replace("\xa0", " ")
