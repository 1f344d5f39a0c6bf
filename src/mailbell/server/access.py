"""Who may connect: networks, and how many connections one address may have. Reverse DNS is never asked."""

import ipaddress
from collections import Counter
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
    """Read `allow`: networks, addresses, or `loopback`, `private`, `any`. ValueError names what is wrong."""
    return tuple(ipaddress.ip_network(text) for name in names for text in NAMED.get(name, (name,)))


class Networks:
    """A set of networks to ask about addresses; remembers its last answers."""

    def __init__(self, names: Iterable[str]) -> None:
        self._networks = networks(names)
        self.has = lru_cache(4096)(self._has)

    def _has(self, ip: str) -> bool:
        address = ipaddress.ip_address(ip.partition("%")[0])  # a link-local address carries its zone
        return any(address in network for network in self._networks)


def plain(ip: str) -> str:
    """An IPv4 address that comes in the clothes of IPv6 (`::ffff:192.0.2.1`), without them."""
    if ":" not in ip:
        return ip
    mapped = ipaddress.IPv6Address(ip).ipv4_mapped
    return ip if mapped is None else str(mapped)


class Sources:
    """Counts the open connections of each source address."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.open: Counter[str] = Counter()
        """To be read only."""

    def enter(self, ip: str) -> bool:
        """Count one more; False when this address has its share already."""
        if self.open[ip] >= self.limit:
            return False
        self.open[ip] += 1
        return True

    def leave(self, ip: str) -> None:
        """One less."""
        self.open[ip] -= 1
        if not self.open[ip]:
            del self.open[ip]
