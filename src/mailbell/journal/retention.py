"""Which mail may go: pure decisions; SqliteJournal.trim acts on them."""

from collections.abc import Iterator, Sequence

from mailbell.journal.mails import Old
from mailbell.settings import JournalSettings

ROW = 1024
"""Octets that a row takes besides the raw mail, about."""

BATCH = 4 * 2**20
"""The most octets that one transaction removes: some 30 ms for which an append may have to wait."""


def spent(oldest: Sequence[Old], settings: JournalSettings, now: float, used: int) -> list[Old]:
    """Those of the oldest mails that are past the settings' age, or over their size (`used` octets now).

    Each is judged by its own time: the clock may have been wrong when one of them came.
    """
    before = (now - settings.max_age) * 1000 if settings.max_age else float("-inf")
    over = used - settings.max_size if settings.max_size else 0
    found = []
    for mail in oldest:
        if over > 0 or mail.received_at < before:
            found.append(mail)
            over -= mail.size + ROW
    return found


def batches(mails: Sequence[Old]) -> Iterator[list[int]]:
    """The sequences in portions, each for one transaction."""
    batch: list[int] = []
    octets = 0
    for mail in mails:
        batch.append(mail.sequence)
        octets += mail.size
        if octets >= BATCH:
            yield batch
            batch, octets = [], 0
    if batch:
        yield batch
