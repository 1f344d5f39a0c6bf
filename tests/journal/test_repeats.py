"""Which mails count as one: what is sent again without an answer, and never what is meant twice."""

import msgspec
import pytest

from mailbell.journal import repeats
from mailbell.journal.repeats import Repeats, fingerprint
from mailbell.journal.stream import DUPLICATE_WINDOW
from mailbell.mail import Envelope, Mail, Source, new_id
from tests.journal.conformance import mail
from tests.journal.engines import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def sure(clock: HandClock) -> Repeats:
    """One that has listened long enough."""
    made = Repeats(clock)
    clock.turn(DUPLICATE_WINDOW)
    return made


def again(sent: Mail) -> Mail:
    """The same, sent once more on another connection."""
    return msgspec.structs.replace(
        sent, id=new_id(1), received_at=1, source=msgspec.structs.replace(sent.source, port=1)
    )


def test_what_got_no_answer_is_one_mail_here_and_elsewhere(sure: Repeats, clock: HandClock) -> None:
    other = Repeats(clock)
    clock.turn(DUPLICATE_WINDOW)
    sent = mail(b"one")
    print_, id_ = sure.begin(sent)
    sure.failed(print_, id_)
    assert sure.begin(again(sent)) == (print_, id_)
    assert other.begin(again(sent))[1] == id_


def test_what_was_answered_and_comes_again_is_another_mail(sure: Repeats, clock: HandClock) -> None:
    sent = mail(b"one")
    print_, first = sure.begin(sent)
    sure.stored(print_)
    _, second = sure.begin(again(sent))
    assert first != second
    sure.stored(print_)
    clock.turn(DUPLICATE_WINDOW + 1)
    assert sure.begin(again(sent))[1] == first, "the stream has forgotten it by now"


def test_what_another_node_has_answered(sure: Repeats) -> None:
    sent = mail(b"one")
    sure.answered(fingerprint(sent))
    assert sure.begin(sent)[1] == sent.id


def test_two_at_the_same_time_are_two(sure: Repeats) -> None:
    one, other = mail(b"one"), again(mail(b"one"))
    assert sure.begin(one)[1] != sure.begin(other)[1]


def test_a_second_try_of_the_second_one(sure: Repeats) -> None:
    """The first was answered, the second not: its next try is the second one."""
    sent = mail(b"one")
    print_, _ = sure.begin(sent)
    sure.stored(print_)
    _, second = sure.begin(again(sent))
    sure.failed(print_, second)
    assert sure.begin(again(sent))[1] == second


def test_who_may_have_missed_an_answer_takes_no_chance(clock: HandClock) -> None:
    young = Repeats(clock)
    sent = mail(b"one")
    assert young.begin(sent)[1] == sent.id
    clock.turn(DUPLICATE_WINDOW)
    assert young.begin(mail(b"two"))[1] != sent.id
    young.missed()
    third = mail(b"three")
    assert young.begin(third)[1] == third.id


def test_every_part_of_a_transmission_counts() -> None:
    sent = mail(b"one")
    others = [
        mail(b"two"),
        msgspec.structs.replace(sent, ioserver="other"),
        msgspec.structs.replace(sent, source=Source("192.168.1.51", 1)),
        msgspec.structs.replace(sent, envelope=Envelope("a@lan", sent.envelope.rcpt_to)),
        msgspec.structs.replace(sent, envelope=Envelope("", ("gate@home.lan",))),
    ]
    assert len({fingerprint(each) for each in (sent, *others)}) == 6
    assert fingerprint(again(sent)) == fingerprint(sent)


def test_it_does_not_remember_without_end(
    sure: Repeats, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "MOST", 10)
    for number in range(100):
        sure.answered(f"{number}")
        sure.failed(f"{number}", "x")
    assert len(sure._answered) == 10
    assert len(sure._unanswered) == 10
    clock.turn(DUPLICATE_WINDOW + 1)
    sure.answered("new")
    assert list(sure._answered) == ["new"]
