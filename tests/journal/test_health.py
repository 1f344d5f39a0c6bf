"""What `trouble` says, and for how long."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailbell.errors import DataError, JournalFull, JournalUnavailable
from mailbell.journal import mails
from mailbell.journal.base import Journal
from mailbell.journal.files import open_writer
from mailbell.journal.folder import DataFolder
from mailbell.journal.health import FAILURE_HOLDS, LOOK_EVERY, LOW_SPACE, Health, room
from mailbell.mail import Mail
from tests.journal.conformance import mail
from tests.journal.engines import HandClock, SqliteEngine, connection
from tests.tools import leave_out, need_root


def trouble(of: Health | Journal) -> str | None:
    return None if of.trouble is None else str(of.trouble)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, 72 MiB, in memory."""
    need_root()
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=72m", "none", str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        leave_out(f"no disk to fill: {done.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_failure_holds_for_a_while_then_one_may_try(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clock = HandClock()
    with DataFolder(tmp_path) as folder:
        health = Health(room(folder), clock)
        for _ in range(3):
            health.failed(JournalUnavailable("journal.db: disk I/O error"))
        assert trouble(health) == "journal.db: disk I/O error"
        clock.turn(FAILURE_HOLDS)
        assert trouble(health) is None
        health.failed(JournalUnavailable("journal.db: disk I/O error"))
        health.worked()
        assert trouble(health) is None
    assert caplog.messages == ["mail is refused: journal.db: disk I/O error", "mail is taken again"]


def test_little_space_is_trouble_before_it_hurts(disk: Path) -> None:
    clock = HandClock()
    with DataFolder(disk) as folder:
        health = Health(room(folder), clock)
        assert trouble(health) is None
        (disk / "ballast").write_bytes(bytes(72 * 2**20 - LOW_SPACE + 2**20))
        assert trouble(health) is None
        clock.turn(LOOK_EVERY)
        assert trouble(health) == f"disk almost full: 62 MiB left in {disk}; free some"
        (disk / "ballast").unlink()
        clock.turn(LOOK_EVERY)
        assert trouble(health) is None


async def test_a_full_disk_refuses_mail_and_takes_it_again_when_there_is_room(disk: Path) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(64 * 2**20))
    engine = SqliteEngine(disk / "data")
    stored: list[Mail] = []
    async with engine.opened() as journal:
        with pytest.raises(JournalFull, match="no room on the disk; free some"):
            while True:
                stored.append(mail(bytes([len(stored) % 256]) * 500_000))
                await journal.append(stored[-1])
        stored.pop()
        assert trouble(journal) == "journal.db: no room on the disk; free some"
        assert journal.last_sequence == len(stored) > 3
        ballast.unlink()
        stored.append(mail(b"there is room"))
        assert await journal.append(stored[-1]) == len(stored)
        assert trouble(journal) is None
    async with engine.opened() as journal:
        assert [await journal.read(number) for number in range(1, len(stored) + 1)] == stored
        assert journal.last_sequence == len(stored)


def test_a_start_on_a_full_disk_says_so(disk: Path) -> None:
    open_writer(disk / "journal.db", mails.SCHEMA, "FULL").close()
    with pytest.raises(OSError, match="No space left"), (disk / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(bytes(4096)):
            pass
    with pytest.raises(DataError, match=r"journal\.db: no room on the disk; free some"):
        open_writer(disk / "journal.db", mails.SCHEMA, "FULL")
    (disk / "ballast").unlink()
    open_writer(disk / "journal.db", mails.SCHEMA, "FULL").close()


async def test_a_full_file_refuses_the_whole_group_and_no_more(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path / "data")
    async with engine.opened() as journal:
        connection(journal).execute("pragma max_page_count = 20")
        refused = await append_together(journal)
        assert {type(each) for each in refused} == {JournalFull}
        assert await journal.append(mail()) == 1
        connection(journal).execute("pragma max_page_count = 200")
        assert await append_together(journal) == [2, 3, 4]


async def append_together(journal: Journal) -> list[int | BaseException]:
    appends = (journal.append(mail(bytes(100_000))) for _ in range(3))
    return await asyncio.gather(*appends, return_exceptions=True)
