"""The data folder: made when missing, private, and held by one process at a time."""

import fcntl
import os
from pathlib import Path
from types import TracebackType

from mailbell.errors import DataError

LOCK = "lock"
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

    def free(self) -> int:
        """Octets that this user may still write on the folder's file system."""
        found = os.fstatvfs(self._lock.fileno())
        return found.f_bavail * found.f_frsize

    def _take(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = self._lock.read(32).decode("ascii", "replace").strip() or "unknown"
            raise DataError(
                f"data folder {self.path} is in use by process {holder}; stop that one, or {ANOTHER}"
            ) from None
        except OSError as error:
            raise DataError(
                f"data folder {self.path}: can't be locked ({error.strerror}); {ANOTHER}, on a local disk"
            ) from error
        self._lock.truncate(0)
        self._lock.write(b"%d\n" % os.getpid())


def _make(path: Path) -> None:
    if path.is_dir():
        return
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(parent)  # or a power cut could take the whole new folder, and mail that got its 250 with it
    finally:
        os.close(parent)
