"""What may come before the first SMTP octet: a PROXY header, or a TLS ClientHello on a plain port.

Both are looked at with MSG_PEEK on the bare socket, before any transport owns it, so that nothing is taken
that belongs to TLS or to the session.
"""

import asyncio
import ipaddress
import socket
from typing import NamedTuple

from mailbell.newest import Newest
from mailbell.server.access import plain

HELLO = 0x16
"""The first octet of a TLS handshake record (RFC 8446 §5.1)."""

FIRST_LOOK = 0.2
"""Seconds that a source never seen before has to show that it speaks TLS; a camera takes some to compute."""

LOCAL_LOOK = 0.02
"""The same for a program on this machine."""

TLS_LOOK = 2.0
"""The same for a source that spoke TLS the last time."""

PROXY_TIMEOUT = 5.0

_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_V1_MOST = 107
_MOST = 4096
"""PROXY headers end: version 1 after 107 octets (specification §2.1); version 2 has room for TLVs."""

_KNOWN = 4096
_DOUBT = 100
"""A source that has spoken both is looked at for so many connections more."""


class ProxyError(Exception):
    """A proxy that should have sent a PROXY header did not."""


class Endpoint(NamedTuple):
    """Where a connection comes from."""

    ip: str
    port: int


class Speakers:
    """Remembers what each source has spoken: TLS from the first octet, or SMTP.

    A server speaks first in SMTP, the client in TLS. To greet a TLS client is to break it; to wait for one
    costs every other client that time. So a stranger is waited for, once; a TLS client is waited for longer;
    and a source that has spoken both, being a machine with several programs, is waited for a little.
    """

    def __init__(self) -> None:
        self._doubts: Newest[str, int] = Newest(_KNOWN)  # connections still to be looked at

    def patience(self, ip: str) -> float:
        """Seconds to wait for a ClientHello before the greeting; 0 for a source known to speak SMTP."""
        doubts = self._doubts.get(ip, 1)
        if doubts == _DOUBT:
            return TLS_LOOK
        if not doubts:
            return 0.0
        return LOCAL_LOOK if ipaddress.ip_address(ip).is_loopback else FIRST_LOOK

    def remember(self, ip: str, spoke_tls: bool) -> None:
        """This is what the source has spoken."""
        self._doubts[ip] = _DOUBT if spoke_tls else max(self._doubts.get(ip, 1) - 1, 0)


async def speaks_tls(client: socket.socket, patience: float) -> bool:
    """Wait up to `patience` seconds for the first octet; True when it begins a TLS handshake."""
    try:
        async with asyncio.timeout(patience):
            first = await _peek(client, 1)
    except TimeoutError:
        return False
    return first[:1] == bytes([HELLO])


async def proxied(client: socket.socket) -> Endpoint | None:
    """Take the PROXY header off the socket and return the real client's address and port.

    None for the proxy's own checks. ProxyError when there is none, or one that makes no sense, within 5 s.
    """
    try:
        async with asyncio.timeout(PROXY_TIMEOUT):
            header = await _header(client)
    except TimeoutError:
        raise ProxyError("no PROXY header came within 5 s") from None
    client.recv(len(header))
    return parse(header)


async def _header(client: socket.socket) -> bytes:
    size = 0
    while True:
        peeked = await _peek(client, size + 1)
        if not peeked:
            raise ProxyError("the proxy closed the connection without a PROXY header; a health check perhaps")
        size = len(peeked)
        length = header_length(peeked)
        if length:
            return peeked[:length]


def header_length(octets: bytes) -> int:
    """How long the PROXY header is that begins these octets; 0 when more of it has to come."""
    if octets.startswith(_V2):
        length = 16 + int.from_bytes(octets[14:16], "big") if len(octets) >= 16 else 0
        if length > _MOST:
            raise ProxyError(f"its PROXY header claims {length} octets")
        return length if length <= len(octets) else 0
    if _V2.startswith(octets):
        return 0
    if not (octets.startswith(b"PROXY ") or b"PROXY ".startswith(octets)):
        raise ProxyError("the first octets are not a PROXY header; the load balancer has to send one")
    end = octets.find(b"\r\n", 0, _V1_MOST) + 2
    if end < 2 and len(octets) >= _V1_MOST:
        raise ProxyError("its PROXY header has no end")
    return end if end >= 2 else 0


def parse(header: bytes) -> Endpoint | None:
    """Read a whole PROXY header. None where it names no client; ProxyError where it makes no sense."""
    try:
        return _parse_v2(header) if header.startswith(_V2) else _parse_v1(header)
    except (IndexError, ValueError):
        raise ProxyError(f"its PROXY header makes no sense: {header[:_V1_MOST]!r}") from None


def _parse_v1(header: bytes) -> Endpoint | None:
    _, kind, *rest = header[:-2].decode("ascii").split(" ")
    if kind == "UNKNOWN":
        return None
    address, _, port, _ = rest
    expected = {"TCP4": 4, "TCP6": 6}.get(kind)
    if ipaddress.ip_address(address).version != expected or not port.isdigit() or int(port) > 65535:
        raise ValueError
    return Endpoint(plain(address), int(port))


def _parse_v2(header: bytes) -> Endpoint | None:
    version_and_command, family = header[12], header[13]
    if version_and_command == 0x20:  # LOCAL: the proxy's own health check
        return None
    if version_and_command != 0x21:
        raise ValueError
    size = {0x11: 4, 0x21: 16}.get(family)
    if size is None:  # not TCP over IP: the proxy does not say who it is
        return None
    address, port = header[16 : 16 + size], header[16 + 2 * size : 18 + 2 * size]
    if len(port) < 2:
        raise ValueError
    return Endpoint(plain(str(ipaddress.ip_address(address))), int.from_bytes(port, "big"))


async def _peek(client: socket.socket, least: int) -> bytes:
    """Wait for so many octets and look at what is there without taking it; b"" at the end."""
    loop = asyncio.get_running_loop()
    while True:
        await _readable(loop, client)
        try:
            peeked = client.recv(_MOST, socket.MSG_PEEK)
        except BlockingIOError:
            continue
        if len(peeked) >= least or not peeked:
            return peeked
        await asyncio.sleep(0.01)  # it stays readable, so there is nothing to await for the next octet


async def _readable(loop: asyncio.AbstractEventLoop, client: socket.socket) -> None:
    ready = loop.create_future()
    loop.add_reader(client.fileno(), _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(client.fileno())


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
