"""The writing half: where commits are done, and when the file is brought up to date."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from mailbell.errors import JournalUnavailable
from mailbell.journal import writer
from mailbell.journal.mails import MailWriter, Row
from mailbell.journal.writer import AWAKE, QUICK, USUAL, Tempo, Writer
from tests.journal.conformance import mail
from tests.journal.engines import SqliteEngine


def test_the_first_commit_goes_to_the_thread_for_the_disk_may_be_asleep() -> None:
    tempo = Tempo()
    assert not tempo.quick(0.0)
    tempo.took(QUICK, 10.0)
    assert tempo.quick(10.0)
    assert tempo.quick(10.0 + AWAKE * 0.9)
    assert not tempo.quick(10.0 + AWAKE)


def test_a_disk_that_is_slow_as_a_rule_is_left_to_the_thread_until_it_no_longer_is() -> None:
    tempo = Tempo()
    commits(tempo, USUAL, QUICK / 2)
    commits(tempo, 1, QUICK * 10)
    assert tempo.quick(10.0)  # one says little of the next
    commits(tempo, 10, QUICK * 10)
    assert not tempo.quick(10.0)
    commits(tempo, 10, QUICK / 2)  # in the thread
    assert not tempo.quick(10.0)
    commits(tempo, 100, QUICK / 2)
    assert tempo.quick(10.0)


def test_a_commit_that_took_very_long_is_enough() -> None:
    tempo = Tempo()
    commits(tempo, USUAL, QUICK / 2)
    commits(tempo, 1, 0.1)
    assert not tempo.quick(10.0)


def commits(tempo: Tempo, count: int, seconds: float) -> None:
    for _ in range(count):
        tempo.took(seconds, 10.0)


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each commit, whether it was done on the loop."""
    seen: list[bool] = []
    insert = MailWriter.insert

    def watched(self: MailWriter, first: int, rows: Sequence[Row]) -> None:
        seen.append(threading.current_thread() is threading.main_thread())
        insert(self, first, rows)

    monkeypatch.setattr(MailWriter, "insert", watched)
    return seen


async def test_quick_commits_are_done_on_the_loop(engine: SqliteEngine, places: list[bool]) -> None:
    async with engine.opened() as journal:
        for _ in range(3):
            await journal.append(mail())
        await engine.elapse(AWAKE)
        await journal.append(mail())
    assert places == [False, True, True, False]


async def test_no_commit_on_the_loop_while_the_thread_has_the_connection(
    engine: SqliteEngine, places: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    remove = MailWriter.remove

    def slowly(self: MailWriter, sequences: Sequence[int]) -> None:
        gate.wait(10)
        remove(self, sequences)

    monkeypatch.setattr(MailWriter, "remove", slowly)
    async with engine.opened() as journal:
        await journal.append(mail())
        removing = asyncio.create_task(journal._writing.remove([1]))
        await asyncio.sleep(0)
        appending = asyncio.ensure_future(journal.append(mail()))
        gate.set()
        assert await appending == 2
        await removing
    assert places == [False, False]


async def test_the_time_from_append_to_commit_is_counted(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each mail, what it waited for the commit before its own included; not of one that is refused."""
    insert = MailWriter.insert

    def slowly(self: MailWriter, first: int, rows: Sequence[Row]) -> None:
        engine.clock.turn(0.2)
        insert(self, first, rows)

    monkeypatch.setattr(MailWriter, "insert", slowly)
    monkeypatch.setattr(writer, "GROUP", 2)
    async with engine.opened() as journal:
        await asyncio.gather(*(journal.append(mail()) for _ in range(3)))
        monkeypatch.setattr(MailWriter, "insert", broken)
        with pytest.raises(JournalUnavailable):
            await journal.append(mail())
        assert isinstance(journal._writing, Writer)
        appends = journal._writing.appends
    assert [(bound, count) for bound, count in appends.up_to() if bound in (0.1, 0.25, 0.5, 10)] == [
        (0.1, 0), (0.25, 2), (0.5, 3), (10, 3),
    ]  # fmt: skip
    assert appends.seconds == pytest.approx(0.2 + 0.2 + 0.4)


def broken(self: MailWriter, first: int, rows: Sequence[Row]) -> None:
    raise JournalUnavailable("the disk is gone")


async def test_the_wal_is_checkpointed_now_and_then(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CHECKPOINT", 2**20)
    async with engine.opened() as journal:
        database = engine.path / "journal.db"
        before = database.stat().st_size
        for _ in range(3):
            await journal.append(mail(bytes(2**20)))
        assert database.stat().st_size > before + 2 * 2**20
