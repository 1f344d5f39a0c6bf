"""Networks, and the words for them, as settings name them: `allow` of an I/O server, `source` of a sink."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

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


class Networks:
    """A set of networks to ask about addresses; remembers its last answers.

    By name: networks, addresses, or `loopback`, `private`, `any`. ValueError says which of them is none.
    """

    def __init__(self, names: Iterable[str]) -> None:
        texts = [text for name in names for text in NAMED.get(name, (name,))]
        self._networks = tuple(ipaddress.ip_network(text) for text in texts)
        self.has = lru_cache(4096)(self._has)

    def _has(self, ip: str) -> bool:
        address = ipaddress.ip_address(ip.partition("%")[0])  # a link-local address carries its zone
        return any(address in network for network in self._networks)
