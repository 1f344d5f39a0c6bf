"""Conversion beside two other parsers: the stdlib's compat32 and fast-mail-parser (Rust).

On well-formed messages all must agree. On damaged ones the rule is: where neither we nor the stdlib found
a defect, both must have read the same leaves; what is left over has one of the reasons written down here.
"""

import email
import random
import re
from collections.abc import Iterator
from email.header import decode_header, make_header
from email.message import Message

import fast_mail_parser
import pytest

from mailbell.event.charset import decode
from mailbell.event.defects import Defects
from mailbell.event.entity import parse
from tests.event.making import damage, make
from tests.event.reading import event

MESSAGES = 300
Leaves = list[tuple[str, bytes]]

REASONS = {
    "a CR alone is a line end to the stdlib, and a blank to us": rb"\r(?!\n)",
    "the stdlib keeps control characters in types and encodings": rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]",
    "the stdlib takes a line that starts with From for mbox's inside of parts too": rb"\nFrom ",
    "the stdlib does not unfold an encoding": rb"(?i)content-transfer-encoding:[ \t]*\r?\n",
    "we read a type or an encoding with something odd behind or in it": (
        rb"(?i)content-type:\s*[^;\s]*[^;\s\w/+.-]|content-type:\s*[^;\s]+\s+[^;\s]|content-type:[^;\n]*/[^;\n]*/"
        rb"|content-transfer-encoding:(?!\s*(base64|quoted-printable)\s)"
    ),
}


def ours(raw: bytes) -> tuple[Leaves, bool]:
    """The leaves as we read them, and whether we found a defect."""
    defects = Defects()
    root = parse(raw, "latin-1", defects)
    leaves = [(leaf.declared, leaf.octets(raw, defects)) for leaf in root.leaves()]
    return leaves, bool(defects.all())


def theirs(raw: bytes) -> tuple[Leaves, bool]:
    """The leaves as the stdlib reads them, and whether it found a defect."""
    parts = list(stdlib_parts(email.message_from_bytes(raw)))
    leaves = [
        (part.get_content_type(), octets_of(part))
        for part in parts
        if part.get_content_maintype() != "multipart" or not part.is_multipart()
    ]
    return leaves, any(part.defects for part in parts)


def stdlib_parts(message: Message) -> Iterator[Message]:
    yield message
    if message.is_multipart() and message.get_content_maintype() == "multipart":
        for part in message.get_payload():
            assert isinstance(part, Message)
            yield from stdlib_parts(part)


def octets_of(part: Message) -> bytes:
    octets = part.get_payload(decode=True)
    return octets if isinstance(octets, bytes) else b""


def disagreement(raw: bytes) -> bytes | None:
    """The message, when it is read in two ways and nobody can say why."""
    (mine, my_defect), (other, other_defect) = ours(raw), theirs(raw)
    if mine == other or my_defect or other_defect:
        return None
    return None if any(re.search(reason, raw) for reason in REASONS.values()) else raw


@pytest.mark.parametrize("seed", range(0, MESSAGES, 50))
def test_well_formed_messages_are_read_as_the_stdlib_does(seed: int) -> None:
    for number in range(seed, seed + 50):
        raw = make(random.Random(number))
        assert ours(raw) == (theirs(raw)[0], False)
        message = email.message_from_bytes(raw)
        expected = str(make_header(decode_header(message["Subject"])))
        assert event(raw).subject == expected.strip()


@pytest.mark.parametrize("seed", range(0, MESSAGES, 50))
def test_well_formed_messages_are_read_as_fast_mail_parser_does(seed: int) -> None:
    # It takes a boundary that begins like an open one for that one, so these don't.
    for number in range(seed, seed + 50):
        raw = make(random.Random(number), boundaries=("=_b", "x.y/z", "----=_Part_1"))
        peer = fast_mail_parser.parse_email(raw)
        texts, files = sorted_leaves(raw)
        assert event(raw).subject == peer.subject.strip()
        assert texts == sorted([*peer.text_plain, *peer.text_html])
        assert files == sorted(part.content for part in peer.attachments)


def sorted_leaves(raw: bytes) -> tuple[list[str], list[bytes]]:
    """The texts and the files of a message."""
    leaves = list(parse(raw, "latin-1", Defects()).leaves())
    octets = [(leaf, leaf.octets(raw, Defects())) for leaf in leaves]
    texts = [decode(body, leaf.charset).text for leaf, body in octets if not leaf.names]
    return sorted(texts), sorted(body for leaf, body in octets if leaf.names)


@pytest.mark.parametrize("seed", range(0, MESSAGES, 50))
def test_damaged_messages_differ_for_a_reason(seed: int) -> None:
    for number in range(seed, seed + 50):
        rng = random.Random(number)
        assert disagreement(damage(rng, make(rng))) is None


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(10**6, 10**6 + 50_000, 10_000))
def test_fifty_thousand_damaged_messages_differ_for_a_reason(seed: int) -> None:
    for number in range(seed, seed + 10_000):
        rng = random.Random(number)
        assert disagreement(damage(rng, make(rng))) is None, f"seed {number}"
