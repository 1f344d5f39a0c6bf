"""Mailboxes: the address fields of RFC 5322 §3.4 and §4.4, and what devices write there.

Structure is read before encoded-words are: a comma or bracket inside of one separates nothing (RFC 2047 §5).
"""

import re

from mailbell.event.header import Reader
from mailbell.event.schema import Address

MAX_ODD = 2**14

# A mailbox as nearly all are: "name" <address>, name <address>, or an address alone; then a comma or the end.
_PLAIN = re.compile(
    r'\s*+(?:(?:"([^"\\]*+)"\s*+|([^"\\(),:;<>@\[\]]*+))<([^\s"\\(),:;<>\[\]]++)>'
    r'|([^\s"\\(),:;<>@\[\]]++@[^\s"\\(),:;<>@\[\]]++))\s*+(?:,|\Z)'
)
_TOKEN = re.compile(
    r'\s++|"(?:[^"\\]|\\.)*+"?|[(),:;<>]|[^\s"(),:;<>\[]++(?:\[[^\]\s]*+\]?)?|\[[^\]\s]*+\]?',
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def addresses(line: str, reader: Reader) -> list[Address]:
    """The mailboxes of an address field on one line, encoded-words still in it."""
    found: list[Address] = []
    position = 0
    while match := _PLAIN.match(line, position):
        quoted, name, angle, bare = match.groups()
        found.append(Address(reader.words(quoted or (name or "").rstrip()), angle or bare))
        position = match.end()
    if len(line) - position > MAX_ODD:
        reader.defects.note(f"addresses that make no sense: read for {MAX_ODD} characters")
    if line[position:].strip():
        found += _Mailboxes(reader).read(line[position : position + MAX_ODD])
    return found


class _Mailboxes:
    """Reads an address list piece by piece."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._found: list[Address] = []
        self._loose: list[str] = []
        self._depth = 0
        self._angle = False
        self._clear()

    def read(self, line: str) -> list[Address]:
        for piece in _TOKEN.finditer(line):
            self._take(piece[0])
        self._end()
        self._end_loose()
        return self._found

    def _clear(self) -> None:
        self._phrase: list[str] = []
        self._route: list[str] = []
        self._comment: list[str] = []

    def _take(self, piece: str) -> None:
        if self._depth:
            self._depth += (piece == "(") - (piece == ")")
            if self._depth:
                self._comment.append(piece)
        elif piece == "(":
            self._depth = 1
        elif piece == "<":
            self._angle = True
        elif piece == ">":
            self._angle = False
        elif piece in ",;" and not (self._angle and piece == ","):
            self._end()
        elif piece == ":":
            # In front of it stood a group's name, a route (RFC 5322 §4.4) or the word mailto.
            self._route.clear() if self._angle else self._clear()
        elif self._angle:
            self._route.append(piece)
        else:
            if self._route and not piece.isspace():
                self._end()  # the comma behind the bracket is missing
            self._phrase.append(piece)

    def _end(self) -> None:
        """Close the mailbox under construction, if there is anything of it."""
        self._angle = False
        name = "".join(map(_unquoted, self._phrase)).strip()
        comment = "".join(self._comment).strip()
        if self._route:
            address = _joined(self._route)
            # "Doe, John <j@x>": no address in front of the comma, so the comma belongs to the name.
            name = ", ".join([*self._loose, name]) if name else name
            self._loose.clear() if name else self._end_loose()
            self._add(name or comment, address)
        elif any("@" in part for part in self._phrase):
            self._end_loose()
            self._end_bare(comment)
        elif name or comment:
            self._loose.append(name or comment)
        self._clear()

    def _end_bare(self, comment: str) -> None:
        """A mailbox without brackets: the address is the word with the @, the rest its name."""
        address = next(part for part in self._phrase if "@" in part)
        self._phrase.remove(address)
        name = "".join(map(_unquoted, self._phrase)).strip()
        self._add(name or comment, _unquoted(address))

    def _end_loose(self) -> None:
        """Words without an address: one word is a local user, several are a name."""
        for words in self._loose:
            text = self._reader.words(words)
            if found := _PLAIN.fullmatch(text):  # all of it was one encoded-word
                self._found.append(Address(found[1] or (found[2] or "").strip(), found[3] or found[4]))
            else:
                self._found.append(Address(text, "") if " " in text else Address("", text))
        self._loose.clear()

    def _add(self, name: str, address: str) -> None:
        self._found.append(Address(self._reader.words(name), self._reader.words(address)))


def _joined(route: list[str]) -> str:
    """An address without the blanks that RFC 5322 §4.4 allows around its parts; other words as they are."""
    address = "".join(piece for piece in route if not piece.isspace())
    return address if "@" in address else "".join(route).strip()


def _unquoted(piece: str) -> str:
    if not piece.startswith('"'):
        return piece
    return _ESCAPE.sub(r"\1", piece.removeprefix('"').removesuffix('"'))
