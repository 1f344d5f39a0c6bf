"""Whether the journal can take mail: what went wrong last, and what can be seen, such as a full disk."""

import logging
from collections.abc import Callable

from mailbell.clock import Clock
from mailbell.errors import JournalError, JournalFull
from mailbell.journal.folder import DataFolder

LOW_SPACE = 64 * 2**20
LOOK_EVERY = 1.0
FAILURE_HOLDS = 5.0
"""Seconds for which a failure is trouble. Then one may try again: nothing else would show that it is over."""

logger = logging.getLogger("mailbell.journal")


class Health:
    """Cheap enough to be asked before every mail."""

    def __init__(self, look: Callable[[], JournalError | None], clock: Clock) -> None:
        """All is well so far. `look` sees what would make an append fail; asked once a second at most."""
        self._look = look
        self._clock = clock
        self._failure: JournalError | None = None
        self._failed_at = self._looked_at = float("-inf")
        self._seen: JournalError | None = None

    @property
    def trouble(self) -> JournalError | None:
        """What an append would raise at this moment, where that is known."""
        now = self._clock.monotonic()
        if self._failure is not None and now < self._failed_at + FAILURE_HOLDS:
            return self._failure
        if now >= self._looked_at + LOOK_EVERY:
            self._looked_at, self._seen = now, self._look()
        return self._seen

    def failed(self, error: JournalError) -> None:
        """Mail was refused."""
        if str(error) != str(self._failure):  # once, not for every mail: the log may be on the same full disk
            logger.error("mail is refused: %s", error)
        self._failure, self._failed_at = error, self._clock.monotonic()

    def worked(self) -> None:
        """Mail was stored."""
        if self._failure is not None:
            logger.info("mail is taken again")
            self._failure = None


def room(folder: DataFolder) -> Callable[[], JournalFull | None]:
    """Look at how much room the disk of the data folder has."""

    def look() -> JournalFull | None:
        free = folder.free()
        if free >= LOW_SPACE:
            return None
        return JournalFull(f"disk almost full: {free >> 20} MiB left in {folder.path}; free some")

    return look
