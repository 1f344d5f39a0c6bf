"""Who may connect: the words and networks of `allow`, both families, and the count of each source."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.server.access import Networks, Sources, plain

PRIVATE = ["127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.5", "169.254.1.1"]
PRIVATE_6 = ["::1", "fd00::1", "fe80::1", "fe80::1%eth0"]
PUBLIC = ["8.8.8.8", "172.32.0.1", "192.169.0.1", "2001:db8::1", "ff02::1"]


@pytest.mark.parametrize("ip", [*PRIVATE, *PRIVATE_6, *PUBLIC])
def test_the_words(ip: str) -> None:
    assert Networks(["private"]).has(ip) == (ip not in PUBLIC)
    assert Networks(["loopback"]).has(ip) == (ip in ("127.0.0.1", "::1"))
    assert Networks(["any"]).has(ip)
    assert not Networks([]).has(ip)


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("203.0.113.0/24", "203.0.113.255", "203.0.114.0"),
        ("203.0.113.7", "203.0.113.7", "203.0.113.8"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
        ("0.0.0.0/0", "8.8.8.8", "2001:db8::1"),
    ],
)
def test_networks(network: str, inside: str, outside: str) -> None:
    allowed = Networks([network, "loopback"])
    assert [allowed.has(ip) for ip in (inside, outside, "127.0.0.1")] == [True, False, True]


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
