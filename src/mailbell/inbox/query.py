"""Mailpit's query language → SQL over the index (store.py). Pure; of any text SQLite takes what comes out.

Terms are separated by blanks and must all hold; quotes keep blanks together; `-` or `!` in front negates.
What a term names is found as a part of the text, as far as its words go: `subject:"wer fail"` finds "Power
failure", whatever stands between the words. Characters of scripts without blanks between words are words by
themselves, so there any part of a sentence is found.

A term whose value makes no sense (a date that is none) finds nothing: ignored, it would widen what a
`DELETE /api/v1/search` deletes.
"""

import re
from collections.abc import Callable
from datetime import datetime, tzinfo
from itertools import product
from typing import Protocol

import msgspec

from mailbell.inbox.vocabulary import MOST, words_of
from mailbell.mailbox import Search

MAX_TEXT = 2000
MAX_TERMS = 50
"""FTS5 gives up at expressions nested 256 deep; nobody writes a query of fifty terms."""

COLUMNS = {
    "subject": "subject",
    "from": "sender",
    "to": "recipient",
    "cc": "cc",
    "bcc": "bcc",
    "reply-to": "reply_to",
    "message-id": "message_id",
    "addressed": "sender recipient cc bcc reply_to",
}
"""What a term may name, and the columns of `words` that it looks at."""

FLAGS = {
    "is:read": "mail.read",
    "is:unread": "not mail.read",
    "is:tagged": "exists (select 1 from tag where tag.sequence = mail.sequence)",
    "has:attachment": "mail.attachments > 0",
    "has:attachments": "mail.attachments > 0",
    "has:inline": "mail.inline > 0",
    "has:inlines": "mail.inline > 0",
}
NOTHING = "0"

_TERM = re.compile(r'([-!]*)(?:([a-z-]+):)?(?:"([^"]*)(?:"|$)|([^\s"]\S*))', re.IGNORECASE)
_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([kmg]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_DATE = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ](\d{2}:\d{2}(?::\d{2})?.*))?", re.IGNORECASE)
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
)
"""Thai, Lao, Burmese, Japanese and Chinese stand without blanks between words."""


class Words(Protocol):
    """Which words there are. One that ends in `*` stands for all that begin so; None: too many."""

    def beginning(self, part: str) -> list[str] | None: ...
    def containing(self, part: str) -> list[str] | None: ...
    def ending(self, part: str) -> list[str]: ...


class Condition(msgspec.Struct):
    """What a query comes to: FTS5 expressions ("": none) and conditions of SQL with their values.

    `without` is of the words that must not be there, where there is no `match` that says it.
    """

    match: str = ""
    without: str = ""
    where: list[str] = []
    values: list[object] = []


def spaced(text: str) -> str:
    """Text as it goes to the index: what is a word by itself is set off by blanks."""
    return text if text.isascii() else _UNSPACED.sub(r" \1 ", text)


def compile_query(search: Search, words: Words) -> Condition:
    """Translate a query, for mails that have these words."""
    condition = Condition()
    matches: list[str] = []
    excluded: list[str] = []
    text = _NO_TEXT.sub(" ", search.text[:MAX_TEXT])
    for signs, field, quoted, bare in _TERM.findall(text)[:MAX_TERMS]:
        negated = bool(len(signs) % 2)
        value = quoted or bare
        found = _flag(field.lower(), value, search.zone)
        if found is not None:
            sql, values = found
            condition.where.append(f"not ({sql})" if negated and sql != NOTHING else sql)
            condition.values += values
            continue
        phrase = _phrase(field, value, words)
        if phrase:
            (excluded if negated else matches).append(phrase)
        elif value.strip():
            condition.where.append(NOTHING)
    condition.match, condition.without = " AND ".join(matches), " OR ".join(excluded)
    if matches and excluded:
        condition.match, condition.without = f"({condition.match}) NOT ({condition.without})", ""
    return condition


def _phrase(field: str, value: str, words: Words) -> str:
    """The FTS5 expression of all that has this text; "" when there is no word in it."""
    columns = COLUMNS.get(field.lower())
    if field and columns is None:  # http://…, or a word in front of a colon
        value = f"{field}:{value}"
    parts = words_of(spaced(value))
    if not parts:
        return ""
    phrases = " OR ".join(map(_quoted, _phrases(parts, words, value[0].isalnum(), value[-1].isalnum())))
    return f"({{{columns}}} : ({phrases}))" if columns else f"({phrases})"


def _phrases(parts: list[str], words: Words, begins: bool, ends: bool) -> list[str]:
    """The phrases that it stands for: its first word may begin, and its last one end, within a word."""
    *before, last = parts
    if not before and begins and ends:
        found = words.containing(last)
        return [f"{last}*"] if found is None else found or [last]
    firsts = words.ending(before[0]) if before and begins else before[:1]
    lasts = (words.beginning(last) if ends else [last]) or [f"{last}*"]
    if len(firsts) * len(lasts) > MOST:
        firsts, lasts = before[:1], [f"{last}*"]
    return [
        " ".join((*first, *before[1:], end)) for *first, end in product(*([firsts] if before else []), lasts)
    ]


def _quoted(phrase: str) -> str:
    return f'"{phrase[:-1]}" *' if phrase.endswith("*") else f'"{phrase}"'


def _flag(field: str, value: str, zone: tzinfo) -> tuple[str, list[object]] | None:
    """The SQL of a term that is no text, or None."""
    if flag := FLAGS.get(f"{field}:{value.lower()}"):
        return flag, []
    test = _TESTS.get(field)
    return None if test is None else test(value, zone)


def _tag(value: str, _zone: tzinfo) -> tuple[str, list[object]]:
    return "mail.sequence in (select sequence from tag where name = ?)", [value]


def _compared(sql: str, read: Callable[[str, tzinfo], int | None]) -> "Test":
    def test(value: str, zone: tzinfo) -> tuple[str, list[object]]:
        number = read(value.strip(), zone)
        return (NOTHING, []) if number is None else (sql, [number])

    return test


def _octets(value: str, _zone: tzinfo) -> int | None:
    found = _SIZE.fullmatch(value)
    return int(float(found[1]) * _UNITS[found[2].lower()]) if found else None


def _moment(value: str, zone: tzinfo) -> int | None:
    """Milliseconds since the epoch, of a date with or without a time."""
    found = _DATE.fullmatch(value)
    if found is None:
        return None
    year, month, day, time = found.groups()
    try:
        moment = datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2}T{time or '00:00'}")
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


Test = Callable[[str, tzinfo], tuple[str, list[object]]]
_TESTS: dict[str, Test] = {
    "tag": _tag,
    "before": _compared("mail.created < ?", _moment),
    "after": _compared("mail.created >= ?", _moment),
    "larger": _compared("mail.size > ?", _octets),
    "smaller": _compared("mail.size < ?", _octets),
}
