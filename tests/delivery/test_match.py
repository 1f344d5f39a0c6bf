"""`match`: which events a sink gets."""

import time

import pytest

from mailbell.delivery.match import Match
from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.mail import Envelope, Mail, Source
from mailbell.settings import MatchSettings

JPEG = "/9j/4AAQSkZJRgABAQAAAQABAAD/2Q=="

RAW = f"""From: Gate <gate@cameras.lan>
To: alarms@bell.lan
Subject: Motion at the Gate
X-Priority: 1 (highest)
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

Motion was detected.
Second line.
--b
Content-Type: application/octet-stream; name=a.jpg
Content-Transfer-Encoding: base64

{JPEG}
--b--
""".replace("\n", "\r\n")


def event(raw: str = RAW, ip: str = "192.168.1.7") -> Converted:
    source = Source(ip, 4711, "gate", "camera")
    envelope = Envelope("Gate@cameras.lan", ("alarms@bell.lan", "log@bell.lan"))
    return convert(Mail("id", 0, "cameras", source, envelope, raw.encode()), ConvertOptions())


HOLD = [
    MatchSettings(),
    MatchSettings(ioserver=("cameras",)),
    MatchSettings(from_=("*@CAMERAS.lan",)),
    MatchSettings(to=("log@*",)),
    MatchSettings(to=("nobody@*", "alarms@*")),
    MatchSettings(subject=("*motion*",)),
    MatchSettings(subject=("re:^Motion",)),
    MatchSettings(text=("*detected*",)),
    MatchSettings(text=("re:(?m)^Second",)),
    MatchSettings(source=("192.168.1.0/24",)),
    MatchSettings(source=("private",)),
    MatchSettings(auth_user=("cam*",)),
    MatchSettings(header={"x-priority": ("1*",)}),
    MatchSettings(has_attachment=True),
    MatchSettings(attachment_type=("image/*",)),
    MatchSettings(subject=("*motion*",), has_attachment=True, from_=("gate@*",)),
]

FAIL = [
    MatchSettings(ioserver=("smtp",)),
    MatchSettings(from_=("cameras.lan",)),
    MatchSettings(subject=("re:^motion",)),
    MatchSettings(source=("10.0.0.0/8", "loopback")),
    MatchSettings(header={"x-priority": ("2*",)}),
    MatchSettings(header={"x-absent": ("*",)}),
    MatchSettings(has_attachment=False),
    MatchSettings(attachment_type=("video/*",)),
    MatchSettings(subject=("*motion*",), has_attachment=False),
]


@pytest.mark.parametrize("settings", HOLD)
def test_holds(settings: MatchSettings) -> None:
    assert Match(settings)(event())


@pytest.mark.parametrize("settings", FAIL)
def test_fails(settings: MatchSettings) -> None:
    assert not Match(settings)(event())


def test_the_words_for_networks_are_those_of_allow() -> None:
    private = Match(MatchSettings(source=("private",)))
    there = ("127.0.0.1", "169.254.1.1", "fe80::1%eth0", "8.8.8.8")
    assert [private(event(ip=ip)) for ip in there] == [True, True, True, False]


def test_a_value_that_is_the_pattern_matches_whatever_signs_it_has() -> None:
    assert Match(MatchSettings(subject=("[Shop] Order?",)))(event("Subject: [Shop] Order?\r\n\r\n"))


def test_a_hopeless_expression_is_cut_short_and_delivers(caplog: pytest.LogCaptureFixture) -> None:
    match = Match(MatchSettings(subject=("re:^(a|aa)+$",)))
    long = event("Subject: " + "a" * 40 + "!" * 3 + "\r\n\r\n")
    began = time.monotonic()
    assert match(long)
    assert time.monotonic() - began < 2
    assert "simplify it" in caplog.text


def test_a_glob_of_many_stars_does_not_backtrack() -> None:
    match = Match(MatchSettings(text=("*a*a*a*a*a*a*a*b",)))
    began = time.monotonic()
    assert not match(event("\r\n" + "a" * 100_000))
    assert time.monotonic() - began < 2
