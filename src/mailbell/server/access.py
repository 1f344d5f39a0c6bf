"""Who connects, and how many connections one address may have. Reverse DNS is never asked."""

import ipaddress
from collections import Counter


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
