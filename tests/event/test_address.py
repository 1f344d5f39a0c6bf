"""Address fields: RFC 5322's forms, and what devices write instead."""

import pytest

from mailbell.event.address import MAX_ODD, addresses
from mailbell.event.defects import Defects
from mailbell.event.header import Reader

FORMS: dict[str, list[tuple[str, str]]] = {
    "": [],
    ",": [],
    "a@b": [("", "a@b")],
    "<a@b>": [("", "a@b")],
    "My Name <me@example.com>": [("My Name", "me@example.com")],
    '"Name, My" <me@example.com>': [("Name, My", "me@example.com")],
    '"Say \\"hi\\"" <a@b>': [('Say "hi"', "a@b")],
    "a@b, C <c@d>,<e@f>": [("", "a@b"), ("C", "c@d"), ("", "e@f")],
    "a@b, ,": [("", "a@b")],
    # comments
    "a@b (A. B.)": [("A. B.", "a@b")],
    "(one (two) three) a@b": [("one (two) three", "a@b")],
    "A (the first) <a@b>": [("A", "a@b")],
    "(never closed": [("never closed", "")],
    # groups
    "undisclosed-recipients:;": [],
    "Team: a@b, C <c@d>; e@f": [("", "a@b"), ("C", "c@d"), ("", "e@f")],
    # RFC 5322 section 4.4: routes; literals
    "<@x,@y:a@b>": [("", "a@b")],
    "Cam <cam@[192.0.2.7]>": [("Cam", "cam@[192.0.2.7]")],
    "cam@[IPv6:2001:db8::7]": [("", "cam@[IPv6:2001:db8::7]")],
    '"john doe"@b <"john doe"@b>': [("john doe@b", '"john doe"@b')],
    # encoded-words
    "=?utf-8?Q?M=C3=BCller=2C_J?= <a@b>": [("Müller, J", "a@b")],
    '"=?utf-8?B?w7w=?=" <a@b>': [("ü", "a@b")],
    "=?utf-8?Q?a?= =?utf-8?Q?b?= <a@b>": [("ab", "a@b")],
    "=?utf-8?Q?Cam_1_=3Ccam=40b=3E?=": [("Cam 1", "cam@b")],
    # what devices write
    "Doe, John <j@x>": [("Doe, John", "j@x")],
    "a@b, Doe, John <j@x>": [("", "a@b"), ("Doe, John", "j@x")],
    "root": [("", "root")],
    "root, admin": [("", "root"), ("", "admin")],
    "root, admin@x": [("", "root"), ("", "admin@x")],
    "Front Door": [("Front Door", "")],
    "Front Door cam@x": [("Front Door", "cam@x")],
    "cam@x Front Door": [("Front Door", "cam@x")],
    '"cam@x"': [("", "cam@x")],
    "cam@x <cam@x>": [("cam@x", "cam@x")],
    "A <a@b> B <c@d>": [("A", "a@b"), ("B", "c@d")],
    "A <a@b; C <c@d>": [("A", "a@b"), ("C", "c@d")],
    "A <a@b": [("A", "a@b")],
    "a@b>": [("", "a@b")],
    "mailto:a@b": [("", "a@b")],
    "<mailto:a@b>": [("", "a@b")],
    "< a@b >": [("", "a@b")],
    "<>": [],
    "A <>": [("", "A")],
    "a@b; c@d": [("", "a@b"), ("", "c@d")],
}


@pytest.mark.parametrize("line", FORMS)
def test_forms(line: str) -> None:
    found = addresses(line, Reader(None, "latin-1", Defects()))
    assert [(mailbox.name, mailbox.address) for mailbox in found] == FORMS[line]


def test_a_long_list_is_read_to_its_end() -> None:
    defects = Defects()
    line = ", ".join(f"N {number} <n{number}@example.com>" for number in range(20_000))
    assert len(addresses(line, Reader(None, "latin-1", defects))) == 20_000
    assert defects.all() == ()


def test_nonsense_is_read_as_far_as_it_may_cost() -> None:
    defects = Defects()
    found = addresses("a(" * 10**6, Reader(None, "latin-1", defects))
    assert sum(len(mailbox.name + mailbox.address) for mailbox in found) <= MAX_ODD
    assert defects.all() == (f"addresses that make no sense: read for {MAX_ODD} characters",)
