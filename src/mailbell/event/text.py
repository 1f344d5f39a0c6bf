"""Text for people: which parts are the body, HTML as text, format=flowed, and no characters that break a reader."""

import re
from html.parser import HTMLParser

_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LINE_END = re.compile("\r+\n?")


def clean(text: str) -> str:
    """Line ends as LF, no control characters but tab."""
    if "\r" in text:
        text = _LINE_END.sub("\n", text)
    return _CONTROL.sub("", text)


def from_html(html: str) -> str:
    """Render HTML as plain text."""
    renderer = _Renderer()
    renderer.feed(html)
    renderer.close()
    lines = [re.sub(r"[ \t\xa0]+", " ", line).strip() for line in "".join(renderer.pieces).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Renderer(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.hidden += tag in ("script", "style", "title")
        if tag in ("br", "p", "div", "tr", "li", "h1", "h2", "h3", "table", "ul", "ol"):
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self.hidden = max(0, self.hidden - (tag in ("script", "style", "title")))
        if tag in ("p", "div", "tr", "h1", "h2", "h3", "table", "ul", "ol"):
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.pieces.append(data.replace("\n", " "))
