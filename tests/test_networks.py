"""The words and networks of `allow` and `source`, both families."""

import pytest

from mailbell.networks import Networks

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
