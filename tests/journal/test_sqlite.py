"""The SQLite engine: the conformance suite, and what is its own."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from mailbell.errors import DataError, JournalUnavailable, MailGone
from mailbell.journal import sqlite, writer
from mailbell.journal.folder import DataFolder
from mailbell.journal.mails import READ_AHEAD, READ_AHEAD_OCTETS
from mailbell.journal.sqlite import SqliteJournal
from mailbell.mail import Envelope
from mailbell.settings import Duration, JournalSettings, Size
from tests.conftest import BOTH_LOOPS
from tests.journal.conformance import CHECKS, Check, append, fetch_all, mail, sequences
from tests.journal.engines import SqliteEngine, connection


@BOTH_LOOPS
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check: Check, engine: SqliteEngine) -> None:
    await check(engine)


async def test_waiting_appends_share_a_commit(engine: SqliteEngine) -> None:
    async with engine.opened() as journal:
        statements: list[str] = []
        connection(journal).set_trace_callback(statements.append)
        await asyncio.gather(*(journal.append(mail()) for _ in range(writer.GROUP + 1)))
        assert len(statements) == 2


async def test_small_groups_when_mail_is_large(engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GROUP_OCTETS", 16_000)
    large = mail(bytes(9000))
    async with engine.opened() as journal:
        statements: list[str] = []
        connection(journal).set_trace_callback(lambda text: statements.append(text[:6]))
        assert sorted(await asyncio.gather(*(journal.append(large) for _ in range(4)))) == [1, 2, 3, 4]
        assert len(statements) == 2


async def test_a_waiting_fetch_wakes_when_the_retry_is_due(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        journal = await SqliteJournal.open(folder, JournalSettings())
        consumer = await journal.consumer("a")
        await append(journal, 1)
        (claim,) = await consumer.fetch(1)
        due = time.time() + 0.03
        consumer.retry(claim, due, "busy")
        (again,) = await asyncio.wait_for(consumer.fetch(1), 5)
        assert again.attempt == 2
        assert time.time() >= due - 0.001
        await journal.close()


@pytest.mark.parametrize("far", [True, False])
async def test_mail_is_read_ahead(engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch, far: bool) -> None:
    monkeypatch.setattr(sqlite, "AT_HAND", 0 if far else 1000)
    mails = [mail(b"%d" % number) for number in range(READ_AHEAD * 2)]
    async with engine.opened() as journal:
        for each in mails:
            await journal.append(each)
    async with engine.opened() as journal:
        statements: list[str] = []
        file = journal._file if far else journal._near
        file._connection.set_trace_callback(statements.append)
        assert await asyncio.gather(*map(journal.read, range(1, len(mails) + 1))) == mails
        assert len(statements) == 2


async def test_large_mail_is_not_read_far_ahead(engine: SqliteEngine) -> None:
    async with engine.opened() as journal:
        for _ in range(4):
            await journal.append(mail(bytes(READ_AHEAD_OCTETS // 2)))
    async with engine.opened() as journal:
        await journal.read(1)
        assert [journal._recent.get(sequence) is not None for sequence in (1, 2, 3)] == [True, True, False]


async def test_a_consumer_goes_on_after_a_gap(engine: SqliteEngine) -> None:
    async with engine.opened() as journal:
        away = await journal.consumer("away")
        await journal.consumer("sink")
        for age in (3, 3, 3, 0):
            await journal.append(mail(received_at=int((engine.clock.time() - age * 86400) * 1000)))
        claims = await away.fetch(2)
        away.retry(claims[1], engine.clock.time() + 10, "busy")
        await journal.forget("sink")
    async with engine.opened() as journal:
        assert await journal.trim() == 3
        away = await journal.consumer("away")
        assert (away.position, away.lag) == (3, 3)
        claims = await fetch_all(away, engine)
        assert sequences(claims) == [1, 4]
        with pytest.raises(MailGone):
            await journal.read(1)
        for claim in claims:
            away.ack(claim)
        assert (away.position, away.lag) == (4, 1)


async def test_too_much_mail_is_removed_and_the_file_shrinks(tmp_path: Path) -> None:
    settings = JournalSettings(max_age=Duration(0), max_size=Size(4 * 2**20))
    engine = SqliteEngine(tmp_path / "data", settings)
    async with engine.opened() as journal:
        for _ in range(20):
            await journal.append(mail(bytes(2**20)))
        assert 16 <= await journal.trim() <= 17
        assert await journal.trim() == 0
        with pytest.raises(MailGone):
            await journal.read(15)
        assert len((await journal.read(20)).raw) == 2**20
    assert (engine.path / "journal.db").stat().st_size < 13 * 2**20


async def test_failing_writes_are_trouble_until_one_succeeds(engine: SqliteEngine) -> None:
    async with engine.opened() as journal:
        await append(journal, 1)
        connection(journal).execute("pragma query_only = on")
        refused = await asyncio.gather(*(journal.append(mail()) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(each, JournalUnavailable) for each in refused)
        assert "can't be written" in str(journal.trouble)
        connection(journal).execute("pragma query_only = off")
        assert await journal.append(mail()) == 2
        assert journal.trouble is None


async def test_a_mail_that_no_column_holds_is_refused_and_the_next_is_taken(engine: SqliteEngine) -> None:
    async with engine.opened() as journal:
        with pytest.raises(JournalUnavailable, match="OverflowError"):
            await journal.append(mail(received_at=2**70))
        unspeakable = msgspec.structs.replace(mail(), envelope=Envelope("\udc80@x", ()))
        with pytest.raises(JournalUnavailable, match="surrogates not allowed"):
            await journal.append(unspeakable)
        assert await journal.append(mail()) == 1


async def test_a_journal_put_back_from_a_backup_loses_nothing_new(
    engine: SqliteEngine, tmp_path: Path
) -> None:
    async with engine.opened() as journal:
        await append(journal, 2)
        consumer = await journal.consumer("a")
        backup = engine.copy(tmp_path / "backup")
        await append(journal, 8)
        claims = await fetch_all(consumer, engine)
        consumer.park(claims[4], "no")
        consumer.retry(claims[5], engine.clock.time(), "busy")
        for claim in claims[:4]:
            consumer.ack(claim)
    for name in ("journal.db", "journal.db-wal"):
        (backup.path / name).replace(engine.path / name)
    async with engine.opened() as journal:
        consumer = await journal.consumer("a")
        assert (journal.last_sequence, consumer.position, consumer.lag) == (2, 2, 0)
        assert await consumer.parked() == []
        await append(journal, 8)
        left = engine.copy(tmp_path / "left")
    async with left.opened() as journal:
        assert sequences(await fetch_all(await journal.consumer("a"), left)) == list(range(3, 11))


async def test_damage_that_only_reading_shows_is_said_at_the_start(engine: SqliteEngine) -> None:
    async with engine.opened() as journal:
        await append(journal, 100)
    content = bytearray((engine.path / "journal.db").read_bytes())
    content[3 * 16384 :] = b"\xff" * (len(content) - 3 * 16384)
    (engine.path / "journal.db").write_bytes(content)
    with pytest.raises(DataError, match=r"journal\.db: damaged \("):
        await engine.open()


async def test_the_second_file_failing_to_open_closes_the_first(engine: SqliteEngine) -> None:
    engine.path.mkdir()
    (engine.path / "delivery.db").write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(DataError, match=r"delivery\.db: damaged"):
        await engine.open()
    (engine.path / "delivery.db").unlink()
    async with engine.opened() as journal:
        assert await append(journal, 1) == [1]
