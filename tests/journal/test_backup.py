"""A backup is as of one moment, whatever happens to its source meanwhile, and a data folder of its own."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mailbell.errors import DataError
from mailbell.journal import backup as module
from mailbell.journal.backup import backup, restore, size
from mailbell.journal.folder import DataFolder
from mailbell.mail import Envelope, Mail, Source, new_id
from tests.journal.engines import SqliteEngine


def mail(text: str) -> Mail:
    source, envelope = Source("192.0.2.1", 4711), Envelope("a@lan", ("b@lan",))
    return Mail(new_id(1_790_000_000_000), 1_790_000_000_000, "smtp", source, envelope, text.encode())


def quiet(_octets: int) -> None:
    """No sign of progress."""


def inside(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
async def engine(tmp_path: Path) -> SqliteEngine:
    """One with five mails: two delivered to `hook`, the third parked; and a key, and a log."""
    engine = SqliteEngine(tmp_path / "data")
    journal = await engine.open()
    hook = await journal.consumer("hook")
    for number in range(1, 6):
        await journal.append(mail(f"number {number}"))
    first, second, third = await hook.fetch(3)
    hook.ack(first)
    hook.ack(second)
    hook.park(third, "no such room")
    await journal.close()
    for name in ("tls/key.pem", "logs/2026/1125-message.log"):
        path = engine.path / name
        path.parent.mkdir(parents=True)
        path.write_text(name)
    return engine


async def test_a_running_journal_and_its_backup(engine: SqliteEngine, tmp_path: Path) -> None:
    journal = await engine.open()
    done = backup(engine.path, tmp_path / "copy", quiet)
    await journal.append(mail("after"))
    await journal.close()
    assert done.last_sequence == 5
    assert inside(tmp_path / "copy") == {"journal.db", "delivery.db", "tls/key.pem"}
    assert (tmp_path / "copy" / "tls" / "key.pem").stat().st_mode & 0o777 == 0o600
    assert done.size == size(tmp_path / "copy")

    restore(tmp_path / "copy", tmp_path / "new", quiet)
    copy = await SqliteEngine(tmp_path / "new").open()
    assert copy.last_sequence == 5
    assert (await copy.read(5)).raw == b"number 5"
    hook = await copy.consumer("hook")
    assert [each.sequence for each in await hook.fetch(9)] == [4, 5]
    assert [(each.sequence, each.reason) for each in await hook.parked()] == [(3, "no such room")]
    await copy.close()


async def test_mail_that_comes_in_the_middle_is_not_in_it(
    engine: SqliteEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await engine.open()
    await journal.append(mail("x" * 300_000))
    monkeypatch.setattr(module, "PAGES", 1)
    steps = 0
    with closing(sqlite3.connect(engine.path / "journal.db")) as other:

        def step(_octets: int) -> None:
            """Another process writes between two steps."""
            nonlocal steps
            steps += 1
            if steps % 5 == 0:
                other.execute("update mail set ioserver = ioserver || 'x'")
                other.commit()

        backup(engine.path, tmp_path / "copy", step)
        assert other.execute("select length(ioserver) from mail").fetchone()[0] > len("smtp") + 2
    await journal.close()
    with closing(sqlite3.connect(tmp_path / "copy" / "journal.db")) as copy:
        assert copy.execute("pragma integrity_check").fetchone() == ("ok",)
        [(last, kinds)] = copy.execute("select max(sequence), count(distinct ioserver) from mail")
    assert (last, kinds) == (6, 1), "some of it is of another moment"


async def test_after_a_kill_its_wal_is_part_of_it(engine: SqliteEngine, tmp_path: Path) -> None:
    journal = await engine.open()
    await journal.append(mail("in the WAL"))
    killed = tmp_path / "killed"
    shutil.copytree(engine.path, killed)
    await journal.close()
    assert (killed / "journal.db-wal").stat().st_size
    assert backup(killed, tmp_path / "copy", quiet).last_sequence == 6


async def test_progress_adds_up(engine: SqliteEngine, tmp_path: Path) -> None:
    octets: list[int] = []
    backup(engine.path, tmp_path / "copy", octets.append)
    assert sum(octets) == size(tmp_path / "copy")


async def test_a_backup_that_is_cut_short_leaves_nothing(engine: SqliteEngine, tmp_path: Path) -> None:
    def cut(_octets: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(engine.path, tmp_path / "copy", cut)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    (tmp_path / "copy.partial").mkdir()  # of one that was killed
    (tmp_path / "copy.partial" / "rest").touch()
    backup(engine.path, tmp_path / "copy", quiet)
    assert "rest" not in inside(tmp_path / "copy")


async def test_a_restore_that_is_killed_may_be_called_again(engine: SqliteEngine, tmp_path: Path) -> None:
    backup(engine.path, tmp_path / "copy", quiet)

    def cut(_octets: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(tmp_path / "copy", tmp_path / "new", cut)
    assert not (tmp_path / "new" / "journal.db").exists()
    assert restore(tmp_path / "copy", tmp_path / "new", quiet).last_sequence == 5
    assert inside(tmp_path / "new") == {"lock", *inside(tmp_path / "copy")}


async def test_what_is_refused(engine: SqliteEngine, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"journal\.db: no such file; name the data folder"):
        backup(tmp_path / "nowhere", tmp_path / "copy", quiet)
    backup(engine.path, tmp_path / "copy", quiet)
    with pytest.raises(DataError, match="is there already"):
        backup(engine.path, tmp_path / "copy", quiet)
    with pytest.raises(DataError, match="not a backup"):
        restore(tmp_path, tmp_path / "new", quiet)
    with pytest.raises(DataError, match="holds mail already; move that folder away"):
        restore(tmp_path / "copy", engine.path, quiet)
    with DataFolder(tmp_path / "busy"), pytest.raises(DataError, match="in use by process"):
        restore(tmp_path / "copy", tmp_path / "busy", quiet)


async def test_a_damaged_backup_is_told_before_anything_is_written(
    engine: SqliteEngine, tmp_path: Path
) -> None:
    backup(engine.path, tmp_path / "copy", quiet)
    file = tmp_path / "copy" / "journal.db"
    file.write_bytes(file.read_bytes()[:20_000] + b"\xff" * 12_000)
    with pytest.raises(DataError, match=r"copy/journal\.db: damaged"):
        restore(tmp_path / "copy", tmp_path / "new", quiet)
    assert not (tmp_path / "new").exists()


async def test_a_full_disk_is_told(engine: SqliteEngine) -> None:
    with pytest.raises(DataError, match=r"/dev/full/copy\.partial: .*; free some room"):
        backup(engine.path, Path("/dev/full/copy"), quiet)
