"""Cooldown and dedupe: the counts add up, windows open and close."""

from hypothesis import given
from hypothesis import strategies as st

from mailbell.delivery.cooldown import Cooldown, Dedupe
from mailbell.event.convert import ConvertOptions, convert
from mailbell.event.schema import MailEvent
from mailbell.mail import Envelope, Mail, Source
from mailbell.settings import CooldownSettings, Duration


def event(ip: str = "10.0.0.1", subject: str = "motion", text: str = "seen") -> MailEvent:
    raw = f"Subject: {subject}\r\n\r\n{text}\r\n".encode()
    return convert(
        Mail("id", 0, "smtp", Source(ip, 1), Envelope("", ("a@lan",)), raw), ConvertOptions()
    ).event


def test_the_first_goes_out_and_the_rest_are_counted_in_the_next() -> None:
    cooldown = Cooldown(CooldownSettings(key="{source.ip}", every=Duration(60)))
    at = [(0, "a"), (10, "a"), (10, "b"), (59, "a"), (60, "a"), (61, "a"), (200, "a")]
    ips = {"a": "10.0.0.1", "b": "10.0.0.2"}
    counts = [cooldown.admit(event(ips[who]), now) for now, who in at]
    assert counts == [0, None, 0, None, 2, None, 1]


def test_a_clock_that_jumps_back_opens_the_window() -> None:
    cooldown = Cooldown(CooldownSettings(key="{source.ip}", every=Duration(60)))
    assert cooldown.admit(event(), 1000) == 0
    assert cooldown.admit(event(), 500) == 0


@given(st.lists(st.tuples(st.floats(0, 100), st.sampled_from(["10.0.0.1", "10.0.0.2"])), max_size=60))
def test_every_event_goes_out_or_is_counted(steps: list[tuple[float, str]]) -> None:
    cooldown = Cooldown(CooldownSettings(key="{source.ip}", every=Duration(60)))
    now, out, counted, waiting = 0.0, 0, 0, {"10.0.0.1": 0, "10.0.0.2": 0}
    for after, ip in steps:
        now += after
        count = cooldown.admit(event(ip), now)
        if count is None:
            waiting[ip] += 1
        else:
            out += 1
            counted += count
            assert count == waiting[ip]
            waiting[ip] = 0
    assert out + counted + sum(waiting.values()) == len(steps)


def test_the_same_mail_within_the_window_is_a_repeat() -> None:
    dedupe = Dedupe(60)
    assert not dedupe.repeated(event(subject="Motion  at gate"), 0)
    assert dedupe.repeated(event(subject="motion at gate"), 30)
    assert not dedupe.repeated(event(subject="motion at door"), 30)
    assert not dedupe.repeated(event(ip="10.0.0.2", subject="motion at gate"), 30)
    assert not dedupe.repeated(event(subject="motion at gate"), 60)
