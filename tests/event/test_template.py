"""Templates against the event itself: what a field renders, and what is refused when a template is made."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailbell.event.convert import ConvertOptions, convert
from mailbell.event.sample import sample
from mailbell.event.schema import MailEvent
from mailbell.event.template import Template
from mailbell.mail import Envelope, Mail, Source

RAW = b"""\
From: "Camera, front" <cam@cams.lan>\r
To: a@lan, Ann <ann@house.lan>\r
Subject: Motion {subject}\r
X-Priority: 1\r
x-priority: 2\r
Content-Type: multipart/mixed; boundary=x\r
\r
--x\r
\r
Hello\r
--x\r
Content-Type: image/jpeg; name=a.jpg\r
\r
1234567\r
--x--\r
"""


def event(raw: bytes = RAW, mail_from: str = "cam@cams.lan", *rcpt_to: str) -> MailEvent:
    source = Source("192.0.2.1", 1234)
    envelope = Envelope(mail_from, rcpt_to or ("garden@alarms.lan", "b@lan"))
    return convert(Mail("id-1", 1453742689582, "smtp", source, envelope, raw), ConvertOptions()).event


EVENTS = [
    event(),
    event(b""),
    event(b"To: \r\n\r\n", "", "postmaster"),
    convert(sample(), ConvertOptions()).event,
]


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("", ""),
        ("plain {{braces}}", "plain {braces}"),
        ("{subject}", "Motion {subject}"),
        ("{source.ip}/{source.port}", "192.0.2.1/1234"),
        ("{envelope.rcpt_to[0].local}@{envelope.rcpt_to[0].domain}", "garden@alarms.lan"),
        ("{envelope.rcpt_to}", "garden@alarms.lan, b@lan"),
        ("{from}|{from.name}|{from.local}", "cam@cams.lan|Camera, front|cam"),
        ("{to}|{to[1]}|{to[1].name}|{to[7].name}", "a@lan, ann@house.lan|ann@house.lan|Ann|"),
        ("{headers[X-PRIORITY]}{headers[none]}{headers[0]}", '1"Camera, front" <cam@cams.lan>'),
        ("{attachments[0].filename} {attachments[0].size:,} {attachments[1].size:,}", "a.jpg 7 "),
        ("{subject:.6}|{subject:>20}|{raw.size:08d}", f"Motion|    Motion {{subject}}|{len(RAW):08d}"),
        ("{source.tls.version}{date}{message_id}", ""),
        ("{charset.guessed} {text_source} {received_at}", "false plain 2016-01-25T17:24:49.582Z"),
    ],
)  # fmt: skip
def test_fields(text: str, rendered: str) -> None:
    assert Template(text).render(EVENTS[0]) == rendered


def test_what_a_field_brings_can_be_quoted() -> None:
    assert Template("a b/{subject}/{date}").render(EVENTS[0], lambda text: text.replace(" ", "_") or "-") == (
        "a b/Motion_{subject}/-"
    )


@pytest.mark.parametrize(
    ("address", "local", "domain"), [("postmaster", "postmaster", ""), ("a@b@c", "a@b", "c"), ("", "", "")]
)
def test_parts_of_an_address(address: str, local: str, domain: str) -> None:
    template = Template("{envelope.rcpt_to[0].local}|{envelope.rcpt_to[0].domain}")
    assert template.render(event(b"", "", address)) == f"{local}|{domain}"


BAD_FORMAT = "no field in a format, no character by its number, no width above 9999"
FIRST = "{subject:.100} is the first 100 characters"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{sorce.ip}", ": there is no sorce; did you mean source?"),
        ("{source.zzz}", ": there is no zzz; source has ip, port, helo, auth_user, tls"),
        ("{source}", " is not one value; source has ip, port, helo, auth_user, tls"),
        ("{attachments}", " is not one value; it is a list: {attachments[0].index} is of its first"),
        ("{headers.name}", ": there is no name; it is a list: {headers[0].name} is of its first"),
        ("{envelope.rcpt_to[-1]}", ": there is no -1; it is a list: {envelope.rcpt_to[0]} is its first"),
        ("{subject[0]}", ": there is no 0; subject is a value; end the field there"),
        ("{}", " is not a field; one looks like {subject}, {envelope.rcpt_to[0]}"),
        ("{subject!r}", ": there are no conversions here; leave out !r"),
        ("{subject:99999}", f": {BAD_FORMAT}; {FIRST}"),
        ("{subject:{text}}", f": {BAD_FORMAT}; {FIRST}"),
        ("{subject:d}", f": Unknown format code 'd' for object of type 'str'; {FIRST}"),
    ],
)
def test_what_is_no_field_is_told_with_what_there_is(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        Template(text)
    assert str(caught.value) == text + problem


@pytest.mark.parametrize("text", ["{subject", "}", "{", "{subject[}"])
def test_braces_that_do_not_match(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|Single"):
        Template(text)


@pytest.mark.parametrize(
    "path",
    ["__class__", "subject.__class__", "from.__init__", "headers[0].__class__", "headers.__len__", "from_"],
)
def test_there_is_nothing_but_the_schema(path: str) -> None:
    with pytest.raises(ValueError, match=r"there is no"):
        Template(f"{{{path}}}")


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    match tree:
        case dict():
            for name, value in tree.items():
                yield from leaves(value, f"{path}.{name}" if path else name)
        case list():
            for index, value in enumerate(tree):
                yield from leaves(value, f"{path}[{index}]")
        case _:
            yield path, tree


@pytest.mark.parametrize("event", EVENTS, ids=range(len(EVENTS)))
def test_every_value_of_the_json_can_be_had(event: MailEvent) -> None:
    for path, value in leaves(json.loads(msgspec.json.encode(event))):
        if path == "source.tls":  # null where a struct may be
            continue
        expected = "" if value is None else json.dumps(value) if isinstance(value, bool) else str(value)
        assert Template(f"{{{path}}}").render(event) == expected


NAMES = st.sampled_from(
    ["subject", "source", "ip", "to", "headers", "envelope", "rcpt_to", "local", "raw", "size", "__class__"]
)
INDEXES = st.integers(-1, 12000).map(str) | st.text(max_size=4)
PATHS = st.lists(NAMES.map(".{}".format) | INDEXES.map("[{}]".format), min_size=1, max_size=5).map(
    lambda steps: "".join(steps).lstrip(".")
)
SPECS = st.just("") | st.text("<>^=.,_+-#0123456789sdxfeg%nc ", max_size=6).map(":{}".format)
FIELDS = st.builds("{{{}{}}}".format, PATHS, SPECS)


@given(st.lists(FIELDS | st.text(max_size=5), max_size=4).map("".join))
@example("{raw.size:c}")
@example("{raw.size:9999,}")
@example("{headers[\0]}")
def test_any_text_is_refused_when_made_or_renders_every_event(text: str) -> None:
    try:
        template = Template(text)
    except ValueError as error:
        assert str(error)
    else:
        for each in EVENTS:
            assert isinstance(template.render(each), str)


@given(st.text())
def test_text_without_fields_is_itself(text: str) -> None:
    assert Template(text.replace("{", "{{").replace("}", "}}")).render(EVENTS[0]) == text
