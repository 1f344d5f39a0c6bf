"""Who connects: an address in other clothes, and the count of each source."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.server.access import Sources, plain


@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        ("::ffff:192.168.1.5", "192.168.1.5"),
        ("::FFFF:c0a8:105", "192.168.1.5"),
        ("192.168.1.5", "192.168.1.5"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_an_ipv4_address_in_the_clothes_of_ipv6(ip: str, expected: str) -> None:
    assert plain(ip) == expected


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"))))
def test_sources_are_counted(steps: list[tuple[bool, str]]) -> None:
    sources, held = Sources(2), dict.fromkeys("abc", 0)
    for comes, ip in steps:
        if comes:
            assert sources.enter(ip) == (held[ip] < 2)
            held[ip] = min(held[ip] + 1, 2)
        elif held[ip]:
            sources.leave(ip)
            held[ip] -= 1
    assert sources.open == {ip: count for ip, count in held.items() if count}, "nobody's zero is kept"
