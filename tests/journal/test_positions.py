"""Writing behind: gathered, in order, and never given up."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailbell.errors import DataError, JournalUnavailable
from mailbell.journal import positions as module
from mailbell.journal.base import Parked
from mailbell.journal.positions import Positions, Saved, Waiting, place

WAITING = Waiting(1, 100.0, since=100.0, due=110.0, reason="busy")


@pytest.fixture
async def positions(tmp_path: Path) -> AsyncIterator[Positions]:
    positions = Positions(tmp_path / "delivery.db")
    yield positions
    await positions.close()


async def committed(positions: Positions) -> None:
    """Return when the next transaction has been written behind."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def traced(statement: str) -> None:
        if statement == "commit":
            loop.call_soon_threadsafe(done.set)

    positions._connection.set_trace_callback(traced)
    await asyncio.wait_for(done.wait(), 5)
    positions._connection.set_trace_callback(None)


async def test_what_is_noted_is_written_soon_and_only_in_its_last_state(positions: Positions) -> None:
    await positions.load("a", 0)
    for floor in range(1, 1000):
        positions.move("a", floor)
    positions.wait("a", 7, WAITING)
    positions.wait("a", 8, WAITING)
    positions.wait("a", 7, None)
    positions.park("a", 1001, Parked(1001, 2, 100.0, "no"))
    await committed(positions)
    assert await positions.load("a", 2000) == Saved(999, {8: WAITING}, [1001])
    assert positions._connection.execute("pragma wal_checkpoint(passive)").fetchone()[1] < 20


async def test_nothing_is_written_out_of_turn_when_the_disk_fails(
    positions: Positions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "AGAIN", 0.01)
    await positions.load("a", 0)
    positions._connection.execute("pragma query_only = on")
    positions.wait("a", 1, WAITING)
    positions.move("a", 1)
    for _ in range(2):
        with pytest.raises(JournalUnavailable, match=r"delivery\.db: can't be written"):
            await positions.flush()
    assert len(caplog.messages) == 1
    positions.move("a", 2)
    positions._connection.execute("pragma query_only = off")
    await committed(positions)
    assert await positions.load("a", 2) == Saved(2, {1: WAITING}, [])


async def test_a_cancelled_flush_is_written_all_the_same(positions: Positions) -> None:
    await positions.load("a", 0)
    positions.move("a", 5)
    flushing = asyncio.create_task(positions.flush())
    await asyncio.sleep(0)
    flushing.cancel()
    await asyncio.wait([flushing])
    assert flushing.cancelled()
    await positions.flush()
    assert (await positions.load("a", 9)).floor == 5


async def test_new_consumers_are_placed_before_anybody_loads_them(tmp_path: Path) -> None:
    file = tmp_path / "delivery.db"
    place(file, ["old", "ahead"], 3)
    place(file, ["old", "new"], 7)
    positions = Positions(file)
    positions.wait("ahead", 9, WAITING)
    positions.move("ahead", 9)
    await positions.close()
    place(file, ["ahead"], 8)  # the journal was put back from a backup
    positions = Positions(file)
    assert [await positions.load(name, 100) for name in ("old", "new", "ahead", "newest")] == [
        Saved(floor, {}, []) for floor in (3, 7, 8, 100)
    ]
    await positions.close()


def test_a_file_that_is_no_use_is_told_when_consumers_are_placed(tmp_path: Path) -> None:
    file = tmp_path / "delivery.db"
    file.write_bytes(b"not a database at all" * 1000)
    with pytest.raises(DataError, match=r"delivery\.db: damaged"):
        place(file, ["a"], 1)


async def test_closing_without_a_disk_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    positions = Positions(tmp_path / "delivery.db")
    await positions.load("a", 0)
    positions._connection.execute("pragma query_only = on")
    positions.move("a", 3)
    await positions.close()
    assert "some events will be delivered again" in caplog.text
    assert positions._timer is not None
    assert positions._timer.cancelled()
