"""A folder as a loss of power would leave it: what was written and not made durable is gone.

strace writes down every call of a server that changes files; here they are played again on the folder as it
was before. That works for every program, none needs to know. The model: a file system with one journal,
as ext4 and XFS have: the content of a file is durable from an fsync of that file, names (of new, renamed and
removed files) from the next fsync of anything in the folder. Nothing is durable by itself, for power may be
lost at once; what was there before the trace is. Of calls that overlap the order is taken that loses more.
"""

import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
SYNCS = ("fsync", "fdatasync", "syncfs", "sync", "sync_file_range")
NAMES = ("rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat")
OTHERS = ("open", "openat", "creat", "lseek", "ftruncate", "fchmod")
UNKNOWN = ("truncate", "fallocate", "copy_file_range", "sendfile", "splice", "msync", "openat2")
"""Calls that change files in ways that are not played here; none of the servers makes them in its folder."""

CALLS = (*WRITES, *SYNCS, *NAMES, *OTHERS, *UNKNOWN)
OPTIONS = ("-y", "-xx", "-s", str(2**26))
"""How strace is to write: the path of each descriptor, all text in hexadecimal, nothing shortened."""

BEGUN = re.compile(r"^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$")
RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
WHOLE = re.compile(r"^(\d+) +(\w+)\((.*)\) += (\d+)(?:<((?:\\x..)*)>)?")
DESCRIPTOR = re.compile(r"^\d+<((?:\\x..)*)>(\(deleted\))?")
TEXT = re.compile(r'"((?:\\x..)*)"')


class Call(NamedTuple):
    """A system call. `result` is None where it has only begun; `opened` is the path of what it has opened."""

    thread: str
    name: str
    arguments: str
    result: int | None
    opened: str = ""

    @property
    def path(self) -> str:
        """The path of the file that the first argument, a descriptor, is open on; empty for a removed one."""
        found = DESCRIPTOR.match(self.arguments)
        return plain(found[1]).decode() if found and not found[2] else ""

    @property
    def texts(self) -> list[bytes]:
        return [plain(text) for text in TEXT.findall(self.arguments)]

    @property
    def last(self) -> int:
        """The last argument, a number; a mode is octal, with a 0 before it."""
        word = self.arguments.rpartition(", ")[2]
        return int(word, 8 if word.startswith("0") else 10)


def plain(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def calls(lines: Iterable[str]) -> Iterator[Call]:
    """Yield the calls that have succeeded, in the order of their ends; a sync also where it begins."""
    begun: dict[str, str] = {}
    for line in lines:
        if found := BEGUN.match(line):
            thread, name, arguments = found.groups()
            begun[thread] = f"{thread} {name}({arguments}"
            if name in SYNCS:
                yield Call(thread, name, arguments, None)
            continue
        if found := RESUMED.match(line):
            line = begun.pop(found[1], "") + found[2]
        if found := WHOLE.match(line):
            thread, name, arguments, result, opened = found.groups()
            yield Call(thread, name, arguments, int(result), plain(opened or "").decode())


class Changes:
    """Changes that wait, in their order, until a sync makes them durable."""

    def __init__(self) -> None:
        self._waiting = deque[Callable[[], object]]()
        self.made = 0
        self._durable = 0

    def add(self, change: Callable[[], object]) -> None:
        self._waiting.append(change)
        self.made += 1

    def sync(self, made: int) -> None:
        """Make the first so many of all durable."""
        while self._durable < made:
            self._waiting.popleft()()
            self._durable += 1


class File:
    """`durable` is what is on the disk; size and position are as the program sees them."""

    def __init__(self, content: bytes = b"", mode: int = 0o600) -> None:
        self.durable = bytearray(content)
        self.mode = mode
        self.changes = Changes()
        self.size = len(content)
        self.position = 0
        self.synchronous = False

    def write(self, offset: int, data: bytes) -> None:
        self.changes.add(lambda: self._put(offset, data))
        self.size = max(self.size, offset + len(data))
        if self.synchronous:
            self.changes.sync(self.changes.made)

    def resize(self, size: int) -> None:
        self.changes.add(lambda: self._cut(size))
        self.size = size

    def chmod(self, mode: int) -> None:
        self.changes.add(lambda: setattr(self, "mode", mode))

    def _put(self, offset: int, data: bytes) -> None:
        self._cut(max(len(self.durable), offset))
        self.durable[offset : offset + len(data)] = data

    def _cut(self, size: int) -> None:
        del self.durable[size:]
        self.durable.extend(bytes(size - len(self.durable)))


class Disk:
    """The files of a folder, and what of them is durable."""

    def __init__(self, folder: Path, working: Path | None = None) -> None:
        """`folder` is as it is now; relative paths are below `working`."""
        self._folder, self._working = str(folder), str(working or folder)
        found = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        self.files = {str(path): File(path.read_bytes(), path.stat().st_mode & 0o7777) for path in found}
        self.durable = dict(self.files)
        self._names = Changes()
        self._syncing: dict[str, tuple[int, int]] = {}

    def play(self, calls: Iterable[Call]) -> None:
        for call in calls:
            if call.name in SYNCS:
                self._sync(call)
            elif call.name in WRITES:
                self._write(call)
            elif call.name in NAMES:
                self._name(call)
            elif call.name in ("open", "openat", "creat"):
                self._open(call)
            elif file := self.files.get(call.path):
                self._other(call, file)

    def _sync(self, call: Call) -> None:
        """Make durable what was written before the sync began."""
        file = self.files.get(call.path)
        now = (file.changes.made if file else 0, self._names.made)
        if call.result is None:
            self._syncing[call.thread] = now
            return
        content, names = self._syncing.pop(call.thread, now)
        if call.name in ("sync", "syncfs", "sync_file_range"):
            raise ValueError(f"{call.name} is not played")
        if call.path.startswith(self._folder):
            self._names.sync(names)
        if file:
            file.changes.sync(content)

    def _write(self, call: Call) -> None:
        if file := self.files.get(call.path):
            data = b"".join(call.texts)[: call.result]
            at_offset = call.name in ("pwrite64", "pwritev", "pwritev2")
            offset = offset_of(call) if at_offset else file.position
            file.write(offset, data)
            if not at_offset:
                file.position = offset + len(data)

    def _open(self, call: Call) -> None:
        path, flags = call.opened, call.arguments
        if not path.startswith(f"{self._folder}/") or "O_RDONLY" in flags:
            return
        if path not in self.files:
            if "O_CREAT" not in flags:
                return  # a socket, a device
            self._add(path, File(mode=call.last))
        file = self.files[path]
        if "O_TRUNC" in flags and file.size:
            file.resize(0)
        file.position = file.size if "O_APPEND" in flags else 0
        file.synchronous |= bool(re.search(r"\bO_D?SYNC\b", flags))

    def _name(self, call: Call) -> None:
        paths = [self._absolute(text.decode()) for text in call.texts]
        file = self.files.get(paths[0])
        if file is None:
            return  # a folder, a socket, or outside
        if call.name.startswith(("rename", "link")):
            self._add(paths[1], file)
        if not call.name.startswith("link"):
            self._remove(paths[0])

    def _other(self, call: Call, file: File) -> None:
        if call.name == "lseek":
            file.position = call.result or 0
        elif call.name == "ftruncate":
            file.resize(call.last)
        elif call.name == "fchmod":
            file.chmod(call.last)
        else:
            raise ValueError(f"{call.name} of {call.path} is not played")

    def _add(self, path: str, file: File) -> None:
        self.files[path] = file
        self._names.add(lambda: self.durable.update({path: file}))

    def _remove(self, path: str) -> None:
        del self.files[path]
        self._names.add(lambda: self.durable.pop(path, None))

    def _absolute(self, path: str) -> str:
        return os.path.normpath(os.path.join(self._working, path))  # noqa: PTH118  not resolved: it may be gone

    def lose_power(self, before: Path) -> None:
        """Leave in the folder what is durable; `before` is a copy of it, made when this disk was."""
        folder = Path(self._folder)
        shutil.rmtree(folder)
        copy(before, folder)
        for path in [each for each in folder.rglob("*") if each.is_file() and str(each) not in self.durable]:
            path.unlink()
        for name, file in self.durable.items():
            put(Path(name), file)


def copy(folder: Path, to: Path) -> None:
    """Copy a folder with owners, modes, sockets and all."""
    subprocess.run(["cp", "-a", str(folder), str(to)], check=True)


def offset_of(call: Call) -> int:
    """Where a write with an offset goes; pwritev2 has flags behind it."""
    words = call.arguments.rsplit(", ", 2)
    return int(words[-2] if call.name == "pwritev2" else words[-1])


def put(path: Path, file: File) -> None:
    """Write a file; what is new belongs to whom its folder belongs."""
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir()
            own(folder)
    new = not path.exists()
    path.write_bytes(file.durable)
    path.chmod(file.mode)
    if new:
        own(path)


def own(path: Path) -> None:
    parent = path.parent.stat()
    os.chown(path, parent.st_uid, parent.st_gid)
