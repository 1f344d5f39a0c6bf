"""The data folder: made when missing, private, and held by one process at a time."""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from mailbell.errors import DataError

LOCK = "lock"
LAST_BREATH = 5.0
"""Seconds that the delivering half of a process that was killed has to end."""

ANOTHER = "choose another folder with --data"


class DataFolder:
    """The data folder, locked until `close()`, or until the process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        """Take the folder. DataError when it can't be made or written, or when another process has it."""
        self.path = path
        try:
            _make(path)
            self._lock = os.fdopen(os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
        except OSError as error:
            raise DataError(
                f"data folder {path}: {error.strerror}; let this user write there, or {ANOTHER}"
            ) from error
        try:
            self._take()
        except BaseException:
            self._lock.close()
            raise

    def __repr__(self) -> str:
        return f"<DataFolder {self.path}>"

    def __enter__(self) -> "DataFolder":
        return self

    def __exit__(
        self, type_: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the next process have it. May be called twice."""
        self._lock.close()

    @property
    def descriptor(self) -> int:
        """Of the lock; a process that inherits it holds the folder as well."""
        return self._lock.fileno()

    def free(self) -> int:
        """Octets that this user may still write on the folder's file system."""
        found = os.fstatvfs(self._lock.fileno())
        return found.f_bavail * found.f_frsize

    def _take(self) -> None:
        """Also from a process that was killed, whose delivering half is just ending."""
        try:
            self._lock_it()
        except BlockingIOError:
            raise DataError(
                f"data folder {self.path} is in use by process {self._holder()}; stop that one, or {ANOTHER}"
            ) from None
        except OSError as error:
            raise DataError(
                f"data folder {self.path}: can't be locked ({error.strerror}); {ANOTHER}, on a local disk"
            ) from error
        self._lock.seek(0)
        self._lock.truncate(0)
        self._lock.write(b"%d\n" % os.getpid())

    def _lock_it(self) -> None:
        """BlockingIOError when somebody has it, who lives or does not end."""
        deadline = time.monotonic() + LAST_BREATH
        while True:
            try:
                return fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if _lives(self._holder()) or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    def _holder(self) -> str:
        self._lock.seek(0)
        return self._lock.read(32).decode("ascii", "replace").strip() or "unknown"


def _lives(process: str) -> bool:
    return not process.isdecimal() or Path(f"/proc/{process}").exists() or not Path("/proc/self").exists()


def _make(path: Path) -> None:
    if path.is_dir():
        return
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(parent)  # or a power cut could take the whole new folder, and mail that got its 250 with it
    finally:
        os.close(parent)
