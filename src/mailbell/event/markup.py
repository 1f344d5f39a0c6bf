"""HTML as text for people: paragraphs, lists, tables and links stay readable.

Libraries that build a tree need a hundred times the size of hostile input, and several go quadratic on it.
This renderer keeps a few counters, looks at every character once, and no nesting makes it deep.
"""

import html
import re

from mailbell.event.defects import Defects
from mailbell.event.text import clean

MAX_TAGS = 50_000
MAX_INDENT = 8

_TAG = re.compile(
    r"<(?:!--(?:-?>|.*?(?:-->|\Z))"
    r"|(/?)([a-z][a-z0-9]*+)((?:[^>=]++|=\s*+(?:\"[^\"]*\"|'[^']*')?)*+)(?:>|\Z)"
    r"|[!?/][^>]*+(?:>|\Z))",
    re.IGNORECASE | re.DOTALL,
)
_HREF = re.compile(r"\bhref\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))", re.IGNORECASE)
_ALT = re.compile(r"\balt\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))", re.IGNORECASE)
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_LINK = re.compile(r"(?:https?|ftp|mailto|tel):", re.IGNORECASE)

# Line breaks around an element: 2 sets it off by an empty line.
_PARAGRAPHS = "blockquote dl h1 h2 h3 h4 h5 h6 hr ol p pre ul"
_BLOCKS = """
    address article aside body br caption center dd details div dt fieldset figcaption figure footer form
    header legend li main nav option section summary table tbody tfoot thead tr
"""
_BREAKS = dict.fromkeys(_BLOCKS.split(), 1) | dict.fromkeys(_PARAGRAPHS.split(), 2)
_NO_TEXT = frozenset(("script", "style", "title", "template", "noframes", "xmp"))
_HIDEABLE = frozenset(("div", "span", "table", "td", "p"))


def to_text(source: str, defects: Defects) -> str:
    """Render HTML. Past 50,000 tags the rest is shown with its tags taken out."""
    page = _Page(source)
    position = 0
    for count, found in enumerate(_TAG.finditer(source)):
        if found.start() < position:
            continue
        page.text(source[position : found.start()])
        position = found.end()
        if count == MAX_TAGS:
            defects.note(f"HTML with more than {MAX_TAGS} tags: the rest of its text without form")
            break
        if found[2]:
            position = page.tag(found[2].lower(), found[3], position, closes=bool(found[1]))
    page.text(_TAG.sub(" ", source[position:]))
    return page.finish()


class _Page:
    """What has been written, and what the next text has to be set off by."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._out: list[str] = []
        self._breaks = 0
        self._space = False
        self._cell = False
        self._row_broken = False
        self._pre = 0
        self._quotes = 0
        self._lists: list[int] = []
        self._bullet = ""
        self._link: tuple[str, int] | None = None
        self._unclosed: set[str] = set()

    def text(self, data: str) -> None:
        """Text between two tags."""
        if not data:
            return
        if self._pre:
            self._write(data.strip("\n") if self._breaks else data.rstrip("\n"))
            self._breaks = max(self._breaks, int(data.endswith("\n")))
            return
        words = data.split()
        if words:
            self._space = self._space or data[0].isspace()
            self._write(" ".join(words))
        self._space = data[-1].isspace() or (self._space and not words)

    def tag(self, name: str, attributes: str, position: int, *, closes: bool) -> int:
        """Act on a tag that ends at `position`; return where to read on."""
        if breaks := _BREAKS.get(name):
            self._break(1 if name in ("ul", "ol") and self._lists else breaks)
        if not closes and (name in _NO_TEXT or (name in _HIDEABLE and _HIDDEN.search(attributes))):
            return self._behind(name, position)
        if action := _ACTIONS.get(name):
            action(self, attributes, closes)
        return position

    def finish(self) -> str:
        """Everything written, character references read."""
        text = html.unescape("".join(self._out)).replace("\xa0", " ")
        return clean("\n".join(line.rstrip() for line in text.split("\n")))

    def _break(self, breaks: int) -> None:
        self._breaks = max(self._breaks, breaks)

    def _behind(self, name: str, position: int) -> int:
        """Where an element without text for people ends; it is not skipped when nothing ends it."""
        if name not in self._unclosed:
            found = re.compile(f"</{name}[^>]*>", re.IGNORECASE).search(self._source, position)
            if found:
                return found.end()
            self._unclosed.add(name)
        return position

    def _write(self, text: str) -> None:
        if self._out and self._breaks:
            self._out.append("\n" * self._breaks + "> " * self._quotes)
            self._row_broken = True
        elif self._out and self._cell:
            self._out.append(" | ")
        elif self._out and self._space:
            self._out.append(" ")
        if self._bullet:
            self._out.append(self._bullet)
        self._out.append(text)
        self._breaks, self._space, self._cell, self._bullet = 0, False, False, ""

    def row(self, _: str, closes: bool) -> None:
        self._cell = False
        self._row_broken = not closes

    def table_cell(self, _: str, closes: bool) -> None:
        if not closes and not self._row_broken:
            self._breaks, self._cell = 0, True
        self._space = True

    def list_(self, _: str, closes: bool) -> None:
        if closes:
            del self._lists[-1:]
        elif len(self._lists) < MAX_INDENT:
            self._lists.append(0)

    def item(self, _: str, closes: bool) -> None:
        self._bullet = "" if closes else "  " * (len(self._lists) - 1) + "- "

    def quote(self, _: str, closes: bool) -> None:
        self._quotes = max(0, min(MAX_INDENT, self._quotes + (-1 if closes else 1)))

    def preformatted(self, _: str, closes: bool) -> None:
        self._pre = 0 if closes else 1

    def rule(self, _attributes: str, _closes: bool) -> None:
        self._write("-" * 10)
        self._break(2)

    def anchor(self, attributes: str, closes: bool) -> None:
        if self._link:
            address, start = self._link
            shown = "".join(self._out[start:]).strip()
            if shown and _LINK.match(address) and address.partition(":")[2].strip("/") not in shown:
                self._out.append(f" ({address})")
            self._link = None
        found = None if closes else _HREF.search(attributes)
        if found:
            self._link = ((found[1] or found[2] or found[3] or "").strip(), len(self._out))

    def image(self, attributes: str, _: bool) -> None:
        if found := _ALT.search(attributes):
            self.text(found[1] or found[2] or found[3] or "")


_ACTIONS = {
    "a": _Page.anchor,
    "blockquote": _Page.quote,
    "hr": _Page.rule,
    "img": _Page.image,
    "li": _Page.item,
    "ol": _Page.list_,
    "pre": _Page.preformatted,
    "td": _Page.table_cell,
    "th": _Page.table_cell,
    "tr": _Page.row,
    "ul": _Page.list_,
}
