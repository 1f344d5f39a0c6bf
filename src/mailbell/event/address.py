"""Mailboxes: the address fields of RFC 5322 §3.4, with groups, comments and quotes, and what devices write there."""

import re

from mailbell.event.header import words
from mailbell.event.schema import Address

MAX_ADDRESSES = 2000

_SIMPLE = re.compile(r'(?:"([^"\\]*)"|([^"\\(),:;<>@\[\]]*))\s*<([^\s"\\(),:;<>\[\]]+)>')
_BARE = re.compile(r'[^\s"\\(),:;<>\[\]]+')
_TOKENS = re.compile(r'\s+|"(?:[^"\\]|\\.)*+"?|\[[^\]]*+\]?|[(),:;<>]|[^\s"(),:;<>\[]+', re.S)


def addresses(line: str, fallback: str = "latin-1") -> list[Address]:
    """The mailboxes of an unfolded address field, encoded-words still in it."""
    if found := _SIMPLE.fullmatch(line):
        return [Address(words(found[1] or found[2].strip(), fallback), found[3])]
    if _BARE.fullmatch(line):
        return [Address("", line)]
    parser = _Parser(fallback)
    for token in _TOKENS.findall(line):
        parser.take(token)
        if len(parser.found) >= MAX_ADDRESSES:
            break
    parser.end()
    return parser.found


class _Parser:
    def __init__(self, fallback: str) -> None:
        self.found: list[Address] = []
        self.fallback = fallback
        self.comment = 0
        self.angle = False
        self.clear()

    def clear(self) -> None:
        self.phrase: list[str] = []
        self.route: list[str] = []
        self.comments: list[str] = []

    def take(self, token: str) -> None:
        if self.comment:
            self.comment += (token == "(") - (token == ")")
            if self.comment:
                self.comments.append(token)
        elif token == "(":
            self.comment = 1
        elif token == "<":
            self.angle = True
        elif token == ">":
            self.angle = False
        elif self.angle and token not in ",;":
            self.route.append(token)
        elif token in (",", ";"):
            self.angle = False
            self.end()
        elif token == ":":
            self.clear()
        else:
            self.phrase.append(token)

    def end(self) -> None:
        address = "".join(self.route).rpartition(":")[2].strip()
        phrase = self.phrase
        if not address:
            at = next((index for index, token in enumerate(phrase) if "@" in token and token[0] != '"'), None)
            if at is not None:
                address = phrase[at]
                phrase = phrase[:at] + phrase[at + 1 :]
            elif len(phrase) == 1:
                address, phrase = phrase[0], []
        name = "".join(_unquote(token) for token in phrase).strip() or "".join(self.comments).strip()
        if name or address:
            self.found.append(Address(words(name, self.fallback), words(address, self.fallback)))
        self.clear()


def _unquote(token: str) -> str:
    if token[:1] != '"':
        return token
    return re.sub(r"\\(.)", r"\1", token.removeprefix('"').removesuffix('"'), flags=re.S)
