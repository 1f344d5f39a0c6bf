"""The query language: what it finds, and that nothing makes SQLite complain."""

import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbell.event.convert import ConvertOptions, convert
from mailbell.inbox import store
from mailbell.inbox.projection import project
from mailbell.inbox.query import COLUMNS, MAX_TERMS, compile_query
from mailbell.inbox.store import IndexFile, IndexReader
from mailbell.inbox.vocabulary import Lookup
from mailbell.mailbox import Search
from tests.inbox.conftest import NOW, mail

MAILS = {
    "ups": b"From: UPS <ups-1@power.lan>\r\nTo: Anna <anna@house.lan>\r\nCc: bob@house.lan\r\n"
    b"Reply-To: desk@house.lan\r\nSubject: Power failure\r\nMessage-ID: <4711@ups.lan>\r\n"
    b"\r\non battery now\r\n",
    "gate": b"From: gate@cams.lan\r\nTo: alarm@house.lan\r\nSubject: Motion\r\nX-Tags: night shift\r\n"
    b'Content-Type: image/jpeg; name="gate.jpg"\r\nContent-Disposition: attachment\r\n\r\n' + b"x" * 5000,
    "logo": b"From: nvr@cams.lan\r\nSubject: =?utf-8?B?6Zeo5Y+j56e75Yqo5L6m5rWL?=\r\n"
    b"Content-Type: image/png\r\nContent-ID: <a>\r\nContent-Disposition: inline\r\n\r\npicture",
    "tuer": "From: t@x.lan\r\nSubject: Die Tür ist offen\r\n\r\nsee https://x.lan/a?b=1".encode(),
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexReader]:
    path: Path = tmp_path_factory.mktemp("query") / "index.db"
    file = IndexFile(path)
    day = 86_400_000
    rows = [
        project(number, convert(mail(raw=raw, at=NOW + number * day), ConvertOptions()))
        for number, raw in enumerate(MAILS.values(), 1)
    ]
    file.add(rows, len(rows))
    file.set_read([rows[0].summary.id], True)
    reader = IndexReader(path)
    yield reader
    reader.close()
    file.close()


def found(reader: IndexReader, query: str, zone: str = "UTC") -> set[str]:
    page = reader.page(Search(query, ZoneInfo(zone)), 0, 0, 0)
    assert page.count == len(page.entries)
    assert page.unread == sum(not entry.read for entry in page.entries)
    names = list(MAILS)
    return {names[entry.sequence - 1] for entry in page.entries}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("power", {"ups"}),
        ("POWER battery", {"ups"}),
        ("power motion", set()),
        ("batt", {"ups"}),
        ('"on battery"', {"ups"}),
        ('"battery on"', set()),
        ("house.lan", {"ups", "gate", "logo", "tuer"}),
        ("house.lan -motion", {"ups", "logo", "tuer"}),
        ("!power", {"gate", "logo", "tuer"}),
        ('-"on battery"', {"gate", "logo", "tuer"}),
        ("--power", {"ups"}),
        ("subject:power", {"ups"}),
        ('subject:"Power failure"', {"ups"}),
        ("SUBJECT:battery", set()),
        ("-subject:power", {"gate", "logo", "tuer"}),
        ("from:cams.lan", {"gate", "logo"}),
        ("from:gate@cams.lan", {"gate"}),
        ("to:anna", {"ups"}),
        ("cc:bob", {"ups"}),
        ("bcc:alarm@house.lan", {"ups", "logo", "tuer"}),
        ("reply-to:desk", {"ups"}),
        ("addressed:desk", {"ups"}),
        ("message-id:4711@ups.lan", {"ups"}),
        ("tag:night", set()),
        ('tag:"Night Shift"', {"gate"}),
        ("-is:tagged", {"ups", "logo", "tuer"}),
        ("is:read", {"ups"}),
        ("is:unread", {"gate", "logo", "tuer"}),
        ("has:attachment", {"gate"}),
        ("has:inline", {"logo"}),
        ("larger:2k", {"gate"}),
        ("larger:2KB", {"gate"}),
        ("smaller:0.001M has:inline", {"logo"}),
        ("gate.jpg", {"gate"}),
        ("移动", {"logo"}),
        ("subject:口移动", {"logo"}),
        ("tur", {"tuer"}),
        ("https://x.lan/a?b=1", {"tuer"}),
        ("after:2026-09-23", {"logo", "tuer", "gate"}),
        ("before:2026/09/23", {"ups"}),
        ("before:2026-09-22T23:59:59Z", {"ups"}),
        ("-before:nonsense", set()),
        ("power before:2026-99-99", set()),
        ("larger:much", set()),
        ("!!! power", set()),
        ("is:nonsense", set()),
        ('subject:"Pow', {"ups"}),
        ("attery", {"ups"}),
        ("ower", {"ups"}),
        ("tter", {"ups"}),
        ("at", {"logo"}),
        ("ttery on", {"ups"}),
        ('"wer fail"', {"ups"}),
        ('"on ba"', {"ups"}),
        ('"xn batt"', set()),
        ("-attery", {"gate", "logo", "tuer"}),
        ("subject:ailur", {"ups"}),
        ("subject:atter", set()),
        ("from:ate@cams", {"gate"}),
        ("ouse.la", {"ups", "gate", "logo", "tuer"}),
        ("from:@cams.lan", {"gate", "logo"}),
        ("tür", {"tuer"}),
        ("ffen", {"tuer"}),
        ("TTERY", {"ups"}),
        ("m", {"gate"}),
        ("O", {"ups", "tuer"}),
        ("é", set()),
        ("门", {"logo"}),
        ("subject:o", {"tuer"}),
        ("subject:n", set()),
        ("addressed:u", {"ups"}),
        ("o from:x", {"tuer"}),
        ("o subject:p is:read", {"ups"}),
        ("-o", {"gate", "logo"}),
        ("-p", {"gate", "tuer"}),
        ("-subject:o", {"ups", "gate", "logo"}),
        ("o -f", {"tuer"}),
        ("-o -m", {"logo"}),
        ("-o -subject:m", {"logo"}),
        ("-o is:unread larger:2k", {"gate"}),
        ("-is:read -m", {"logo", "tuer"}),
        ("house.lan -power -offen -subject:motion", {"logo"}),
        ('"on b"', {"ups"}),
        ('"ttery n"', {"ups"}),
        ('"wer f" -o', set()),
    ],
)  # fmt: skip
def test_what_is_found(reader: IndexReader, query: str, expected: set[str]) -> None:
    assert found(reader, query) == expected


def test_dates_are_of_the_zone(reader: IndexReader) -> None:
    """The first mail came at 2026-09-22 13:33 UTC: in Auckland that is already the 23rd."""
    assert "ups" not in found(reader, "after:2026-09-23")
    assert "ups" in found(reader, "after:2026-09-23", "Pacific/Auckland")


WORDS = st.sampled_from(
    [*COLUMNS, *'"-!:()*^+\\\0%_', "AND", "OR", "NOT", "a", "é", "門", "is:", "tag:", "before:", " "]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=40).map("".join)))
def test_no_query_is_an_error_of_sql(reader: IndexReader, query: str) -> None:
    reader.page(Search(query), 0, 10, 0)


@pytest.mark.parametrize(
    "term", ['"a" ', "-a ", "a -b ", "subject:x ", "tag:x ", "門 ", "a" * 5000, '"' + "a b " * 900 + '"']
)
def test_a_query_of_any_length_is_none_either(reader: IndexReader, term: str) -> None:
    found(reader, term * 300)
    assert len(compile_query(Search(term * 300), Lookup(reader._connection)).values) <= MAX_TERMS


def test_values_never_become_sql(reader: IndexReader) -> None:
    for query in ("'; drop table mail; --", "tag:'\"", 'subject:"a\' OR 1=1"'):
        found(reader, query)
    assert len(reader.sequences(0, 10)) == len(MAILS)


def test_no_more_is_read_than_the_page_needs(reader: IndexReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the mails with a word that must not be there, too."""
    file = IndexFile(reader._path.with_name("many.db"))
    rows = [project(n, convert(mail("odd" if n % 2 else "even"), ConvertOptions())) for n in range(1, 2001)]
    file.add(rows, len(rows))
    many = IndexReader(file.path)
    monkeypatch.setattr(store, "COUNTED", 10)
    for query in ("odd", "o", "-odd", "-o", "alarm -odd", "is:unread -o"):
        steps: list[None] = []
        many._connection.set_progress_handler(partial(steps.append, None), 1)
        page = many.page(Search(query), 0, 5, 0)
        many._connection.set_progress_handler(None, 0)
        newest = 2000 if "-" in query else 1999
        assert [each.sequence for each in page.entries] == list(range(newest, newest - 10, -2)), query
        assert len(steps) < 2000, f"{query}: a step of SQLite for each mail, or more"
    many.close()
    file.close()


def test_like_an_oracle(reader: IndexReader) -> None:
    """Each term of plain ASCII finds what a look at the words by hand finds."""
    db = sqlite3.connect(":memory:")
    db.execute("create table t (name text, words text)")
    for name, raw in MAILS.items():
        db.execute("insert into t values (?, ?)", (name, " " + raw.decode("latin-1").lower()))
    for word in ("ups", "failure", "motion", "offen"):
        expected = {row[0] for row in db.execute("select name from t where words like ?", (f"%{word}%",))}
        assert found(reader, word) == expected
    db.close()
