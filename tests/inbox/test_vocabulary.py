"""The words of all mails: taken apart as FTS5 does it, and found by any part of them."""

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbell.event.convert import ConvertOptions, convert
from mailbell.inbox import vocabulary
from mailbell.inbox.projection import project
from mailbell.inbox.store import TOKENIZER, IndexFile, IndexReader
from mailbell.inbox.vocabulary import DIGITS, LONGEST, Lookup, Vocabulary, words_of
from mailbell.mailbox import Search
from tests.inbox.conftest import mail


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(":memory:", isolation_level=None)
    for statement in vocabulary.SCHEMA:
        db.execute(statement)
    yield db
    db.close()


def learnt(db: sqlite3.Connection, *texts: str) -> Lookup:
    made = Vocabulary(db)
    made.remember(made.learn(texts))
    return Lookup(db)


def test_parts_of_words(db: sqlite3.Connection) -> None:
    lookup = learnt(db, "On battery: Batteries low", "the Batterie")
    assert lookup.containing("attery") == ["battery"]
    assert lookup.containing("batter") == ["batterie", "batteries", "battery"]
    assert sorted(lookup.containing("tter") or ()) == ["batterie", "batteries", "battery"]
    assert lookup.containing("at") == [], "too short to be looked for inside"
    assert lookup.beginning("lo") == ["low"]
    assert lookup.containing("l") == lookup.beginning("l") == ["l*"], "FTS5 has a list of these"
    assert lookup.ending("ery") == ["ery", "battery"]
    assert lookup.ending("ry") == ["ry"]


def test_a_word_is_learnt_once(db: sqlite3.Connection) -> None:
    made = Vocabulary(db)
    made.remember(made.learn(["one two"]))
    made.learn(["two three"])
    Vocabulary(db).learn(["one two three four"])
    assert sorted(row[0] for row in db.execute("select word from word")) == ["four", "one", "three", "two"]
    assert db.execute("select count(*) from part").fetchone() == (2,), "of more than three letters"


def test_what_did_not_hold_is_learnt_again(db: sqlite3.Connection) -> None:
    made = Vocabulary(db)
    db.execute("begin")
    made.learn(["lost"])
    db.execute("rollback")
    made.remember(made.learn(["lost"]))
    assert Lookup(db).beginning("lo") == ["lost"]


def test_numbers_and_identifiers_are_few(db: sqlite3.Connection) -> None:
    lookup = learnt(db, " ".join(f"ord{number:06}x 2026{number:07}" for number in range(50_000)))
    assert db.execute("select count(*) from word").fetchone()[0] == 500 + 1
    assert lookup.beginning("20") == ["2026*"]
    assert lookup.beginning("2026000") == ["2026000*"]
    assert lookup.beginning("ord00491") == ["ord00491*"]
    assert lookup.containing("ord049") == [f"ord049{last}*" for last in range(10)]
    assert lookup.beginning("ord1") == []


def test_words_without_end(db: sqlite3.Connection) -> None:
    lookup = learnt(db, "x" * 5000)
    assert lookup.beginning("xx") == ["x" * LONGEST + "*"]
    assert lookup.beginning("x" * 4000) == ["x" * 4000 + "*"]


def test_too_many_words(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "MOST", 3)
    lookup = learnt(db, "maa mab mac mad xmax ymay zmaz wmaw")
    assert lookup.beginning("ma") is None
    assert lookup.containing("ma") is None
    assert lookup.containing("maa") == ["maa"]
    assert lookup.containing("max") == ["xmax"]
    lookup = learnt(db, "apple xapple yapple zapple wapple")
    assert lookup.containing("apple") == ["apple"], "those inside are too many, those that begin so are not"


def test_letters_are_folded_as_fts5_does_it() -> None:
    """Every letter there is: the word that is looked up is the one that FTS5 has."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute(f"create virtual table raw using fts5 (text, tokenize = '{TOKENIZER}')")
    db.execute(f"create virtual table folded using fts5 (text, tokenize = '{TOKENIZER}')")
    for table in ("raw", "folded"):
        db.execute(f"create virtual table {table}_words using fts5vocab ({table}, instance)")
    letters = [chr(code) for code in range(sys.maxunicode) if chr(code).isalnum()]
    for number, letter in enumerate(letters, 1):
        text = f"a{letter}a e{letter}\u0301 x\u0308{letter}"
        db.execute("insert into raw (rowid, text) values (?, ?)", (number, text))
        db.execute("insert into folded (rowid, text) values (?, ?)", (number, " ".join(words_of(text))))
    words = "select doc, group_concat(term, ' ') from {}_words group by doc"
    raw, folded = (dict(db.execute(words.format(table)).fetchall()) for table in ("raw", "folded"))
    differ = [letters[number - 1] for number in raw if raw[number] != folded.get(number)]
    assert differ == []
    db.close()


PARTS = st.text(st.sampled_from("abcé1"), min_size=1, max_size=5)
TEXTS = st.lists(st.text(st.sampled_from("abcé1 -"), max_size=25), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    texts=TEXTS,
    part=st.text(st.sampled_from("abcé1"), min_size=1, max_size=5),
    most=st.sampled_from([2, 500]),
)
def test_like_a_look_at_every_word(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], part: str, most: int
) -> None:
    """What is found for one part are the mails with a word that has it, or begins so where that is short."""
    path: Path = tmp_path_factory.mktemp("oracle") / "index.db"
    file = IndexFile(path)
    raws = [f"From: x@y\r\n\r\n{text}\r\n".encode() for text in texts]
    rows = [project(number, convert(mail(raw=raw), ConvertOptions())) for number, raw in enumerate(raws, 1)]
    file.add(rows, len(rows))
    reader = IndexReader(path)
    [sought] = words_of(part)
    before = vocabulary.MOST
    vocabulary.MOST = most
    try:
        found, others = (
            {each.sequence for each in reader.page(Search(query), 0, 0, 0).entries}
            for query in (part, f"-{part}")
        )
    finally:
        vocabulary.MOST = before
        reader.close()
        file.close()
    begin, anywhere = set(), set()
    every: set[str] = set()
    for row in rows:
        words = [word for text in row.words for word in words_of(text)]
        every |= set(words)
        begin |= {row.sequence} if any(word.startswith(sought) for word in words) else set()
        anywhere |= {row.sequence} if any(sought in word for word in words) else set()
    assert begin <= found <= anywhere
    assert others == {row.sequence for row in rows} - found
    if len(sought) < 3 or sought.count("1") >= DIGITS:
        assert found == begin
    elif most == 500 and not any(word.count("1") > DIGITS for word in every):
        assert found == anywhere
