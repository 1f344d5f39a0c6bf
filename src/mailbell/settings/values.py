"""Values that settings are made of: what each takes, and the check that says what was expected."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from mailbell.networks import NAMED

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SECONDS = {"": 1.0, "MS": 0.001, "S": 1.0, "M": 60.0, "MIN": 60.0, "H": 3600.0, "D": 86400.0}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?((?:[KMG]i?)?B|)", re.IGNORECASE)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|min|h|d|)")
_LARGEST = 10.0**15
"""Sizes and durations end somewhere, so that sums with them can't overflow: a petabyte, 30 million years."""


class Size(int):
    """A number of octets; written as a number or as text such as `25 MiB`."""

    expected = 'a size such as 1048576 or "25 MiB"'

    @classmethod
    def parse(cls, value: object) -> "Size":
        """Read a size; ValueError says what was expected."""
        return cls(_parse(value, _SIZE, _UNITS, cls.expected))


class Duration(float):
    """A number of seconds; written as a number or as text such as `30s`, `10 min`, `3d`."""

    expected = 'a duration such as 30 or "30s", "10 min", "3d"'

    @classmethod
    def parse(cls, value: object) -> "Duration":
        """Read a duration; ValueError says what was expected."""
        return cls(_parse(value, _DURATION, _SECONDS, cls.expected))


def _parse(value: object, pattern: re.Pattern[str], units: Mapping[str, float], expected: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LARGEST:
        return value
    found = pattern.fullmatch(value) if isinstance(value, str) else None
    number = float(found[1]) * units[found[2].upper()] if found else _LARGEST + 1
    if number > _LARGEST:
        raise ValueError(f"expected {expected}, got {value!r}")
    return number


def dec_hook(type_: type[Any], value: object) -> object:
    """Decode our own value types for msgspec."""
    if issubclass(type_, Size | Duration):
        return type_.parse(value)
    if issubclass(type_, Path) and isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"expected a path, got {value!r}")


def _positive(value: float) -> None:
    if value <= 0:
        raise ValueError("expected more than 0")


def _ip_address(value: str) -> None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise ValueError('expected an IP address such as "0.0.0.0", "192.168.1.5" or "::"') from None


def _network(value: str) -> None:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(
            'expected "private", "loopback", "any", or a network such as "192.168.1.0/24"'
        ) from None


def _source(value: str) -> None:
    if value not in NAMED:
        _network(value)


def is_url(value: str, *schemes: str) -> bool:
    """Whether it has one of these schemes and a host."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:
        return False
    return bool(good) and not re.search(r"[\x00-\x20\x7f]", value)


def _url(example: str, *schemes: str) -> Callable[[str], None]:
    """Make the check of a URL."""

    def check(value: str) -> None:
        if not is_url(value, *schemes):
            raise ValueError(f'expected a URL such as "{example}"')

    return check


def nats_url(value: str) -> None:
    """Check the address of a NATS server."""
    if not is_url(value, "nats", "tls"):
        raise ValueError('expected a URL such as "nats://host:4222"')


def together(certificate: Path | None, key: Path | None) -> None:
    """Check that there are both, or none."""
    if (certificate is None) != (key is None):
        raise ValueError("certificate and key go together: give both, or none")


Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
PositiveSize = Annotated[Size, Meta(extra={"check": _positive})]
PositiveDuration = Annotated[Duration, Meta(extra={"check": _positive})]
IpAddress = Annotated[str, Meta(extra={"check": _ip_address})]
Network = Annotated[str, Meta(extra={"check": _network})]
SourceNetwork = Annotated[str, Meta(extra={"check": _source})]
HttpUrl = Annotated[str, Meta(extra={"check": _url("https://host/path", "http", "https")})]
NatsUrl = Annotated[str, Meta(extra={"check": nats_url})]
PemPath = Annotated[Path, Meta(extra={"file": ()})]
UsersPath = Annotated[Path, Meta(extra={"users": True})]
CaPath = Annotated[
    PemPath | None,
    Meta(description="Certificates to trust, PEM, instead of the machine's; a self-signed one itself."),
]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all settings structs."""
