"""What the index keeps of a mail: total over any mail, bounded, and as Mailpit shows it."""

import random
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbell.event.convert import ConvertOptions, convert
from mailbell.event.schema import Address
from mailbell.inbox.projection import MAX_TAG, MAX_TAGS, MAX_WORDS, SNIPPET, Row, clean_tag, project
from mailbell.inbox.store import IndexFile, IndexReader
from tests.event.making import damage, make
from tests.inbox.conftest import mail


def row(raw: bytes, sequence: int = 1) -> Row:
    return project(sequence, convert(mail(raw=raw), ConvertOptions()))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 3))
def test_any_mail_has_a_row_that_sqlite_takes(seed: int, damages: int) -> None:
    rng = random.Random(seed)
    raw = make(rng)
    for _ in range(damages):
        raw = damage(rng, raw)
    made = row(raw or b"\r\n")
    assert msgspec.json.decode(msgspec.json.encode(made), type=Row) == made
    assert len(made.summary.snippet) <= SNIPPET
    for word in made.words:
        word.encode()


def test_a_file_takes_rows_once(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    file = IndexFile(path)
    rows = [row(make(random.Random(number)), number) for number in range(1, 300)]
    file.add(rows, 299)
    file.add(rows[:5], 299)
    reader = IndexReader(path)
    assert reader.figures()[:2] == (299, 299)
    assert [each.sequence for each in reader.page(None, 0, 3, 0).entries] == [299, 298, 297]
    file.drop(range(1, 250))
    assert reader.figures()[:2] == (50, 50)
    reader.close()
    file.close()


def test_recipients_of_no_field_are_bcc() -> None:
    made = row(b"To: Alarm <ALARM@house.lan>\r\n\r\n").summary
    assert (made.to, made.bcc) == ((Address("Alarm", "ALARM@house.lan"),), ())
    assert row(b"To: x@y.lan\r\n\r\n").summary.bcc == (Address("", "alarm@house.lan"),)


def test_what_is_long_is_cut() -> None:
    made = row(
        b"Subject: x\r\nX-Tags: " + b",".join(b"%d" % n * 90 for n in range(50)) + b"\r\n\r\n" + b"w " * 10**6
    )
    assert len(made.words[-1]) <= MAX_WORDS + 1
    assert len(made.summary.snippet) <= SNIPPET
    assert len(made.tags) == MAX_TAGS
    assert max(map(len, made.tags)) <= MAX_TAG


def test_tags_are_printable() -> None:
    assert clean_tag(" a\t\n b\x00\u202ec ") == "a b c"
