"""Networks, and the words for them, as settings name them: `allow` of an I/O server, `source` of a sink."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LOOPBACK = ("127.0.0.0/8", "::1/128")
_PRIVATE = (
    *_LOOPBACK,
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
)
NAMED = {"loopback": _LOOPBACK, "private": _PRIVATE, "any": ("0.0.0.0/0", "::/0")}


def networks(names: Iterable[str]) -> tuple[Network, ...]:
    """Read networks, addresses, or `loopback`, `private`, `any`. ValueError names what is wrong."""
    return tuple(ipaddress.ip_network(text) for name in names for text in NAMED.get(name, (name,)))


class Networks:
    """A set of networks to ask about addresses; remembers its last answers."""

    def __init__(self, names: Iterable[str]) -> None:
        self._networks = networks(names)
        self.has = lru_cache(4096)(self._has)

    def _has(self, ip: str) -> bool:
        address = ipaddress.ip_address(ip.partition("%")[0])  # a link-local address carries its zone
        return any(address in network for network in self._networks)
