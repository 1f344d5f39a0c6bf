"""Opening the files: kinds, versions, migration, health."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mailbell.errors import DataError
from mailbell.journal import mails, positions
from mailbell.journal.files import (
    Schema,
    execute_rows,
    explain,
    open_reader,
    open_writer,
    pragma,
    transaction,
)

FIRST = ("create table note (text)", "insert into note values ('one')")
SECOND = ("alter table note add column size", "update note set size = length(text)")
OLD = Schema(0x1234, 8192, (FIRST,))
NEW = Schema(0x1234, 8192, (FIRST, SECOND))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


def notes(path: Path, schema: Schema) -> list[tuple[object, ...]]:
    with closing(open_writer(path, schema, "FULL")) as connection:
        assert pragma(connection, "user_version") == schema.version
        return connection.execute("select * from note").fetchall()


def test_a_new_file_has_what_can_not_be_changed_later(path: Path) -> None:
    with closing(open_writer(path, OLD, "FULL")) as connection:
        assert pragma(connection, "page_size") == 8192
        assert pragma(connection, "auto_vacuum") == 2
        assert pragma(connection, "synchronous") == 2
        assert pragma(connection, "application_id") == 0x1234
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["x.db"]


def test_an_empty_and_an_old_file_are_migrated(path: Path) -> None:
    path.touch()
    assert notes(path, OLD) == [("one",)]
    assert notes(path, NEW) == [("one", 3)]
    assert notes(path, NEW) == [("one", 3)]


def test_a_step_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    notes(path, OLD)
    with pytest.raises(DataError, match=r"x\.db: no such table: other; look at the disk"):
        open_writer(path, Schema(0x1234, 8192, (FIRST, (SECOND[0], "update other set x = 1"))), "FULL")
    assert notes(path, OLD) == [("one",)]


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    notes(path, NEW)
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"newer mailbell \(format 2, this one reads up to 1\); install that"):
        open_writer(path, OLD, "FULL")
    assert path.read_bytes() == before


def test_somebody_elses_database_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table theirs (x)")
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"x\.db: not a file of mailbell's; move it away"):
        open_writer(path, OLD, "FULL")
    assert path.read_bytes() == before


def fill(path: Path) -> None:
    with closing(open_writer(path, OLD, "FULL")) as connection, transaction(connection):
        connection.executemany("insert into note values (?)", ((str(n) * 100,) for n in range(1000)))


def leave_unclean(path: Path) -> None:
    """Bring back the WAL of a connection that is still open, as a kill would leave it."""
    with closing(open_writer(path, OLD, "FULL")) as connection:
        with transaction(connection):
            connection.execute("insert into note values ('last')")
        left = Path(f"{path}-wal").read_bytes()
        database = path.read_bytes()
    path.write_bytes(database)
    Path(f"{path}-wal").write_bytes(left)


def break_header(path: Path) -> None:
    path.write_bytes(b"garbage!" * 2000)


def break_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[5 * 8192 : 5 * 8192 + 4000] = b"\xff" * 4000
    path.write_bytes(content)
    leave_unclean(path)


@pytest.mark.parametrize("damage", [break_header, break_page])
def test_a_damaged_file_is_said_to_be(path: Path, damage: Callable[[Path], None]) -> None:
    fill(path)
    damage(path)
    with pytest.raises(
        DataError, match=r"x\.db: damaged \(.*\); keep a copy, then put a backup in its place"
    ):
        open_writer(path, OLD, "FULL")


def test_an_unclean_stop_costs_a_check_and_nothing_else(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    fill(path)
    assert len(notes(path, OLD)) == 1001
    assert caplog.messages == []
    leave_unclean(path)
    assert notes(path, OLD)[-1] == ("last",)
    assert caplog.messages == [f"{path} was not closed properly; looking for damage"]


def test_a_file_that_another_program_writes(path: Path) -> None:
    fill(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(
            DataError, match=r"x\.db: in use by another program \(database is locked\); close"
        ):
            open_writer(path, OLD, "FULL")


def test_a_folder_in_its_place(path: Path) -> None:
    path.mkdir()
    with pytest.raises(
        DataError, match=r"x\.db: can't be written \(unable to open database file\); give the"
    ):
        open_writer(path, OLD, "FULL")


def test_a_reader_can_not_write(path: Path) -> None:
    with closing(open_writer(path, OLD, "FULL")), closing(open_reader(path)) as reader:
        with pytest.raises(sqlite3.OperationalError, match="readonly") as caught:
            reader.execute("delete from note")
        assert "give the file" in explain(caught.value, path)


@pytest.mark.parametrize("room", [mails, positions])
def test_version_0_of_each_file_is_brought_to_the_newest(path: Path, room: object) -> None:
    """An empty database with our settings: what a kill during the very first start leaves behind."""
    schema: Schema = room.SCHEMA  # type: ignore[attr-defined]  # both have one
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")
    with closing(open_writer(path, schema, "FULL")) as connection:
        assert pragma(connection, "user_version") == schema.version


def test_rows_beyond_what_one_statement_takes(path: Path) -> None:
    with closing(open_writer(path, NEW, "FULL")) as connection:
        execute_rows(connection, "insert into note values {}", [])
        execute_rows(connection, "insert into note values {}", [(str(n), n) for n in range(1200)])
        gone = [(n,) for n in range(100, 1200)]
        execute_rows(connection, "delete from note where text != ? and size in (values {})", gone, "150")
        left = connection.execute("select size from note").fetchall()
    assert sorted(left) == sorted([(3,), *((n,) for n in range(100)), (150,)])
