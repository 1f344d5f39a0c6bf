"""The mails kept in memory."""

from mailbell.journal.recent import OVERHEAD, Recent
from tests.journal.conformance import mail


def test_those_kept_longest_go_first() -> None:
    recent = Recent(3 * (100 + OVERHEAD))
    mails = {sequence: mail(bytes(100)) for sequence in range(1, 6)}
    for sequence, each in mails.items():
        recent.add(sequence, each)
        recent.add(sequence, each)
    assert [recent.get(sequence) for sequence in range(1, 6)] == [None, None, mails[3], mails[4], mails[5]]


def test_what_is_dropped_makes_room() -> None:
    recent = Recent(2 * (100 + OVERHEAD))
    recent.add(1, mail(bytes(100)))
    recent.add(2, mail(bytes(100)))
    recent.drop([1, 7])
    recent.add(3, mail(bytes(100)))
    assert [recent.get(sequence) is None for sequence in (1, 2, 3)] == [True, False, False]


def test_a_mail_too_large_is_not_kept() -> None:
    recent = Recent(1000)
    recent.add(1, mail(bytes(2000)))
    assert recent.get(1) is None
