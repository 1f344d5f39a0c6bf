"""Whether the journal can take mail: what went wrong last, and how much room the disk has."""

import logging

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

    def __init__(self, folder: DataFolder, clock: Clock) -> None:
        """All is well so far."""
        self._folder = folder
        self._clock = clock
        self._failure: JournalError | None = None
        self._failed_at = self._looked_at = float("-inf")
        self._low: JournalFull | None = None

    @property
    def trouble(self) -> JournalError | None:
        """What an append would raise at this moment, where that is known."""
        now = self._clock.monotonic()
        if self._failure is not None and now < self._failed_at + FAILURE_HOLDS:
            return self._failure
        if now >= self._looked_at + LOOK_EVERY:
            self._looked_at, self._low = now, self._look()
        return self._low

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

    def _look(self) -> JournalFull | None:
        free = self._folder.free()
        if free >= LOW_SPACE:
            return None
        return JournalFull(f"disk almost full: {free >> 20} MiB left in {self._folder.path}; free some")
