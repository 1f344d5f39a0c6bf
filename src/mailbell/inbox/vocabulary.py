"""The words of all mails, so that a part of a word finds those that have it: `attery` finds `battery`.

FTS5 finds whole words fast, and those that begin with a letter, of which it keeps lists (store.SCHEMA). Words
that begin with more it gathers from all mails first, and parts of words it does not find at all; so a part is
looked up here, among the different words that there are, and FTS5 is asked for these. They are few beside the
mails: most words of a new mail were in one before.

`word` has every word, for those that begin so; `part` those that people read, by trigrams, for those that
have it inside. Numbers and identifiers would be new words in every mail: of one with more than four digits
only the begin is kept, up to the fourth, and a `*`: words that begin so are many, and FTS5 finds them soon,
for each is rare. A word stays when the last mail with it goes: then it finds nothing.
"""

import re
import sqlite3
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from mailbell.journal.files import execute_rows

SCHEMA = (
    "create table if not exists word (word text primary key) without rowid",
    "create virtual table if not exists part using fts5 (word, tokenize = 'trigram', detail = 'none')",
)
MOST = 500
"""Words that a part may stand for; of one that is in more, the mails with words that begin so are found."""

SHORTEST = 3
"""Letters of a part inside of a word, for trigrams have so many."""

DIGITS = 4
LONGEST = 40
"""What is kept of a word."""

KNOWN = 100_000
"""Words that are remembered as being here: most of a new mail's are among them."""

LAST = "\U0010ffff"
"""Comes after all that a word can have."""

_MARKS = str.maketrans(
    "",
    "",
    "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u0309\u030a\u030b\u030c\u030f\u0311"
    "\u031b\u0323\u0324\u0325\u0326\u0327\u0328\u032d\u032e\u0330\u0331",
)
"""Combining marks that FTS5's tokenizer leaves out; others end a word."""

_MARKED = "\u01e0\u01e1"
"""A with a dot above and a macron: FTS5 leaves the marks on this one."""

_WORD = re.compile(r"[^\W_]+")
_BEGIN = re.compile(rf"((?:\D*\d){{{DIGITS}}})\D*\d")
_MANY = re.compile(rf"(?:\D*\d){{{DIGITS}}}")


def words_of(text: str) -> list[str]:
    """The words of a text, as FTS5's tokenizer takes them apart and folds them (store.TOKENIZER)."""
    return _WORD.findall(text.lower() if text.isascii() else _folded(text))


def _folded(text: str) -> str:
    return "".join(map(_fold, text.translate(_MARKS)))


@lru_cache(maxsize=10_000)
def _fold(char: str) -> str:
    """What FTS5 folds to the same; a letter that is left as it is, always is that.

    Latin letters lose their marks. SQLite knows the small letters of Unicode 6.1, Python the later ones too.
    """
    base = unicodedata.normalize("NFD", char)[0]
    if base.isascii() and char not in _MARKED:
        return base.lower()
    return char.lower() if unicodedata.ucd_3_2_0.category(char) in ("Lu", "Lt") else char


class Vocabulary:
    """For the one connection that writes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: set[str] = set()

    def learn(self, texts: Iterable[str]) -> set[str]:
        """Take in the words of new mails, in their transaction; `remember` the answer once that holds."""
        words = {word for text in texts for word in words_of(text)} - self._known
        unknown = {_filed(word) for word in words} - self._known
        if not unknown:
            return unknown
        rows = self._connection.execute(
            "select value from json_each(?) where not exists (select 1 from word where word = value)",
            (msgspec.json.encode(sorted(unknown)).decode(),),
        )
        fresh = rows.fetchall()
        execute_rows(self._connection, "insert into word values {}", fresh)
        inside = [row for row in fresh if len(row[0]) > SHORTEST and not row[0].endswith("*")]
        execute_rows(self._connection, "insert into part values {}", inside)
        return unknown

    def remember(self, words: set[str]) -> None:
        """These are in the file."""
        if len(self._known) > KNOWN:
            self._known.clear()
        self._known |= words


def _filed(word: str) -> str:
    """The word, or what is kept of it."""
    if not word.isalpha() and (found := _BEGIN.match(word)):
        word = f"{found[1]}*"
    return word if len(word) <= LONGEST else f"{word[:LONGEST]}*"


class Lookup:
    """For a connection that reads. Words may end in `*`: any that begin so. None: they are too many."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def beginning(self, part: str) -> list[str] | None:
        """The words that begin so."""
        if len(part) == 1 or len(part) >= LONGEST or _MANY.match(part):
            return [f"{part}*"]
        rows = self._connection.execute(
            "select word from word where word >= ? and word < ? limit ?", (part, part + LAST, MOST + 1)
        )
        return _few(rows.fetchall())

    def containing(self, part: str) -> list[str] | None:
        """The words that have it anywhere; of a short one, those that begin so."""
        found = self.beginning(part)
        if found is None:
            return None
        every = dict.fromkeys((*found, *self._inside(part)))
        return list(every) if len(every) <= MOST else found

    def ending(self, part: str) -> list[str]:
        """The words that end so, itself first; of a short one, itself."""
        return [part, *(word for word in self._inside(part) if word.endswith(part))]

    def _inside(self, part: str) -> list[str]:
        """The words that have it behind their first letter; none where they are too many."""
        if not SHORTEST <= len(part) < LONGEST:
            return []
        trigrams = " ".join(f'"{part[start : start + 3]}"' for start in range(len(part) - 2))
        rows = self._connection.execute(
            "select word from part where part match ? and instr(word, ?) > 1 limit ?",
            (trigrams, part, MOST + 1),
        )
        return _few(rows.fetchall()) or []


def _few(rows: list[tuple[str]]) -> list[str] | None:
    return None if len(rows) > MOST else [word for (word,) in rows]
