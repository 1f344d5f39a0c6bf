"""A loss of power, played from what strace wrote, and from programs that it looks on at."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bench.powerloss import CALLS, OPTIONS, Disk, calls, copy
from tests.tools import need


def hexed(text: str) -> str:
    return "".join(f"\\x{octet:02x}" for octet in text.encode())


def left(folder: Path, *lines: str) -> dict[str, bytes]:
    """What a trace leaves of the folder: `{name}` is a path in hexadecimal, `"text"` is text in it."""
    before = folder.with_name("before")
    copy(folder, before)
    disk = Disk(folder)
    disk.play(calls(lines))
    disk.lose_power(before)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


class Trace:
    """Lines as strace writes them, of files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> str:
        return hexed(str(self.folder / name))

    def descriptor(self, name: str) -> str:
        return f"7<{self.path(name)}>"

    def opened(self, name: str, flags: str = "O_WRONLY|O_CREAT") -> str:
        return (
            f'9 openat(AT_FDCWD<{hexed("/")}>, "{self.path(name)}", {flags}, 0600) = {self.descriptor(name)}'
        )

    def written(self, name: str, text: str) -> str:
        return f'9 write({self.descriptor(name)}, "{hexed(text)}", {len(text)}) = {len(text)}'

    def put(self, name: str, text: str, offset: int) -> str:
        return f'9 pwrite64({self.descriptor(name)}, "{hexed(text)}", {len(text)}, {offset}) = {len(text)}'

    def synced(self, name: str) -> str:
        return f"9 fsync({self.descriptor(name)}) = 0"

    def renamed(self, name: str, to: str) -> str:
        return f'9 rename("{self.path(name)}", "{self.path(to)}") = 0'


def test_what_was_synced_is_there_and_what_came_after_is_not(folder: Path) -> None:
    trace = Trace(folder)
    lines = [trace.opened("a"), trace.written("a", "one"), trace.synced("a"), trace.written("a", "two")]
    assert left(folder, *lines) == {"a": b"one"}


def test_a_new_file_without_a_sync_is_gone(folder: Path) -> None:
    trace = Trace(folder)
    assert left(folder, trace.opened("a"), trace.written("a", "one")) == {}


def test_a_sync_of_another_file_keeps_the_name_only(folder: Path) -> None:
    trace = Trace(folder)
    lines = [trace.opened("a"), trace.written("a", "one"), trace.opened("b"), trace.synced("b")]
    assert left(folder, *lines) == {"a": b"", "b": b""}


def test_writes_at_an_offset_change_what_was_there(folder: Path) -> None:
    (folder / "a").write_bytes(b"abcdef")
    trace = Trace(folder)
    lines = [trace.put("a", "XY", 1), trace.synced("a"), trace.put("a", "Z", 8)]
    assert left(folder, *lines) == {"a": b"aXYdef"}


def test_a_hole_is_zeros(folder: Path) -> None:
    trace = Trace(folder)
    assert left(folder, trace.opened("a"), trace.put("a", "x", 2), trace.synced("a")) == {"a": b"\0\0x"}


def test_a_rename_without_a_sync_has_not_been(folder: Path) -> None:
    (folder / "a").write_bytes(b"one")
    trace = Trace(folder)
    assert left(folder, trace.renamed("a", "b")) == {"a": b"one"}


def test_a_rename_is_durable_from_the_next_sync_of_the_folder(folder: Path) -> None:
    (folder / "a").write_bytes(b"one")
    trace = Trace(folder)
    assert left(folder, trace.renamed("a", "b"), trace.synced("")) == {"b": b"one"}


def test_a_sync_covers_what_was_written_before_it_began(folder: Path) -> None:
    trace = Trace(folder)
    begun = f"8 fsync({trace.descriptor('a')} <unfinished ...>"
    lines = [trace.opened("a"), trace.written("a", "one"), begun, trace.written("a", "two")]
    assert left(folder, *lines, "8 <... fsync resumed>) = 0") == {"a": b"one"}


def test_a_sync_that_did_not_end_has_not_been(folder: Path) -> None:
    trace = Trace(folder)
    lines = [
        trace.opened("a"),
        trace.written("a", "one"),
        f"8 fsync({trace.descriptor('a')} <unfinished ...>",
    ]
    assert left(folder, *lines, "8 <... fsync resumed>) = ?", "8 +++ killed by SIGKILL +++") == {}


def test_appending_goes_on_at_the_end(folder: Path) -> None:
    (folder / "a").write_bytes(b"one")
    trace = Trace(folder)
    lines = [trace.opened("a", "O_WRONLY|O_CREAT|O_APPEND"), trace.written("a", "two"), trace.synced("a")]
    assert left(folder, *lines) == {"a": b"onetwo"}


def test_a_truncated_file_is_whole_until_a_sync(folder: Path) -> None:
    (folder / "a").write_bytes(b"one")
    trace = Trace(folder)
    assert left(folder, trace.opened("a", "O_WRONLY|O_CREAT|O_TRUNC")) == {"a": b"one"}


def test_a_call_that_is_not_known_is_an_error(folder: Path) -> None:
    (folder / "a").write_bytes(b"one")
    with pytest.raises(ValueError, match=r"fallocate of .*/a is not played"):
        left(folder, f"9 fallocate({Trace(folder).descriptor('a')}, 0, 0, 4096) = 0")


PROGRAM = """
import os, sqlite3, sys
os.chdir(sys.argv[1])
with open("lost", "wb") as file:
    file.write(b"x" * 100_000)
for name in ("kept", "renamed"):
    with open(name, "wb", buffering=0) as file:
        os.writev(file.fileno(), [b"one", b"two"])
        os.fsync(file.fileno())
        file.write(b"three")
os.rename("renamed", "to")
for name, synchronous in (("full.db", "full"), ("off.db", "off")):
    database = sqlite3.connect(name, isolation_level=None)
    database.execute(f"pragma synchronous = {synchronous}")
    database.execute("pragma journal_mode = wal")
    database.execute("create table mail (raw)")
    for number in range(20):
        database.execute("insert into mail values (?)", [f"mail {number} " * 1000])
os.kill(os.getpid(), 9)
"""


def test_a_program_that_was_looked_on_at(folder: Path) -> None:
    """Files and SQLite, one that syncs and one that does not: what is left is what each has promised."""
    trace, before = folder.with_name("trace"), folder.with_name("before")
    copy(folder, before)
    disk = Disk(folder)
    command = [need("strace"), "-f", "-e", f"trace={','.join(CALLS)}", *OPTIONS, "-o", str(trace)]
    subprocess.run([*command, sys.executable, "-c", PROGRAM, str(folder)], check=False, timeout=60)
    assert (folder / "lost").stat().st_size == 100_000
    with trace.open(encoding="ascii") as lines:
        disk.play(calls(lines))
    disk.lose_power(before)
    assert (folder / "kept").read_bytes() == b"onetwo"
    assert (folder / "lost").read_bytes() == b""
    assert (folder / "to").read_bytes() == b"onetwo"
    assert not (folder / "renamed").exists()
    full = sqlite3.connect(folder / "full.db")
    assert full.execute("select count(*) from mail").fetchone() == (20,)
    full.close()
    assert not (folder / "off.db").exists()
