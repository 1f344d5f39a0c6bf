"""Which mail may go."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mailbell.journal.mails import Old
from mailbell.journal.retention import BATCH, ROW, batches, spent
from mailbell.settings import Duration, JournalSettings, Size

NOW = 1_790_000_000.0


def old(*ages: float, size: int = 1000) -> list[Old]:
    """Mails of these ages in seconds."""
    return [Old(number, int((NOW - age) * 1000), size) for number, age in enumerate(ages, 1)]


def gone(mails: list[Old], max_age: float, max_size: int, used: int) -> list[int]:
    settings = JournalSettings(max_age=Duration(max_age), max_size=Size(max_size))
    return [each.sequence for each in spent(mails, settings, NOW, used)]


def test_each_mail_is_judged_by_its_own_time() -> None:
    assert gone(old(300, 50, 101, -(10**9), 100, NOW), max_age=100, max_size=0, used=10**9) == [1, 3, 6]


def test_over_the_size_the_oldest_go_until_it_fits() -> None:
    mails = old(5, 4, 3, 2, 1)
    assert gone(mails, max_age=0, max_size=10_000, used=10_000) == []
    assert gone(mails, max_age=0, max_size=10_000, used=10_001) == [1]
    assert gone(mails, max_age=0, max_size=10_000, used=10_000 + 2 * (1000 + ROW) + 1) == [1, 2, 3]


def test_nothing_goes_when_nothing_is_limited() -> None:
    assert gone(old(10**9, 10**9), max_age=0, max_size=0, used=10**15) == []


@given(st.lists(st.integers(0, 2 * BATCH)))
def test_batches_hold_all_and_end_as_soon_as_they_are_large(sizes: list[int]) -> None:
    mails = [Old(number, 0, size) for number, size in enumerate(sizes)]
    made = list(batches(mails))
    assert list(itertools.chain(*made)) == list(range(len(sizes)))
    for batch in made:
        assert sum(sizes[number] for number in batch[:-1]) < BATCH
