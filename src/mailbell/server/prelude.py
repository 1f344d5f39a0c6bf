"""What may come before the first SMTP octet: a PROXY header, or a TLS ClientHello on a plain port.

Both are looked at with MSG_PEEK on the bare socket, before any transport owns it, so that nothing is taken
that belongs to TLS or to the session.
"""

import asyncio
import ipaddress
import socket
import struct
from collections import OrderedDict

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
_MOST = 536
"""A PROXY header is never longer than this (specification §2.1, §2.2: it fits the smallest segment)."""

_KNOWN = 4096


class ProxyError(Exception):
    """A proxy that should have sent a PROXY header did not."""


class Speakers:
    """Remembers what each source spoke last: TLS from the first octet, or SMTP.

    A server speaks first in SMTP, the client in TLS. To greet a TLS client is to break it; to wait for one
    costs every other client that time. So only a stranger is waited for, and only once.
    """

    def __init__(self) -> None:
        self._spoke_tls: OrderedDict[str, bool] = OrderedDict()

    def patience(self, ip: str) -> float:
        """Seconds to wait for a ClientHello before the greeting; 0 for a source known to speak SMTP."""
        spoke_tls = self._spoke_tls.get(ip)
        if spoke_tls is None:
            return LOCAL_LOOK if ipaddress.ip_address(ip).is_loopback else FIRST_LOOK
        return TLS_LOOK if spoke_tls else 0.0

    def remember(self, ip: str, spoke_tls: bool) -> None:
        """This is what the source has spoken."""
        self._spoke_tls[ip] = spoke_tls
        self._spoke_tls.move_to_end(ip)
        if len(self._spoke_tls) > _KNOWN:
            self._spoke_tls.popitem(last=False)


async def speaks_tls(client: socket.socket, patience: float) -> bool:
    """Wait up to `patience` seconds for the first octet; True when it begins a TLS handshake."""
    try:
        async with asyncio.timeout(patience):
            first = await _peek(client, 1)
    except TimeoutError:
        return False
    return first[:1] == bytes([HELLO])


async def proxied(client: socket.socket) -> tuple[str, int] | None:
    """Take the PROXY header off the socket and return the real client's address and port.

    None for the proxy's own checks. ProxyError when there is none, or one that makes no sense, within 5 s.
    """
    try:
        async with asyncio.timeout(PROXY_TIMEOUT):
            header = await _header(client)
    except TimeoutError:
        raise ProxyError("no PROXY header came within 5 s") from None
    client.recv(len(header))
    return _parse_v2(header) if header.startswith(_V2) else _parse_v1(header)


async def _header(client: socket.socket) -> bytes:
    size = 0
    while True:
        peeked = await _peek(client, size + 1)
        size = len(peeked)
        end = _end(peeked)
        if end:
            return peeked[:end]
        if size >= _MOST:
            raise ProxyError("the PROXY header has no end")


def _end(peeked: bytes) -> int:
    """Where the header ends; 0 when more has to come."""
    if _V2.startswith(peeked[:12]) and len(peeked) < 16:
        return 0
    if peeked.startswith(_V2):
        end = 16 + int(struct.unpack_from("!H", peeked, 14)[0])
        return end if end <= len(peeked) else 0
    if not b"PROXY ".startswith(peeked[:6]):
        raise ProxyError("the first octets are not a PROXY header; does the load balancer send one?")
    return peeked.find(b"\r\n") + 2 if b"\r\n" in peeked else 0


def _parse_v1(header: bytes) -> tuple[str, int] | None:
    words = header.decode("ascii", "replace").split()
    try:
        if words[1] == "UNKNOWN":
            return None
        return str(ipaddress.ip_address(words[2])), int(words[4])
    except (IndexError, ValueError):
        raise ProxyError(f"the PROXY header makes no sense: {header!r}") from None


def _parse_v2(header: bytes) -> tuple[str, int] | None:
    command, family = header[12], header[13]
    if command == 0x20:  # LOCAL: a health check
        return None
    try:
        if family == 0x11:
            return str(ipaddress.IPv4Address(header[16:20])), int(struct.unpack_from("!H", header, 24)[0])
        if family == 0x21:
            return str(ipaddress.IPv6Address(header[16:32])), int(struct.unpack_from("!H", header, 48)[0])
    except (ValueError, struct.error):
        raise ProxyError("the PROXY header is too short for its address family") from None
    return None


async def _peek(client: socket.socket, more_than: int) -> bytes:
    """Wait until at least so many octets are there (or the end is), and look at them without taking them."""
    loop = asyncio.get_running_loop()
    while True:
        await _readable(loop, client)
        try:
            peeked = client.recv(_MOST, socket.MSG_PEEK)
        except BlockingIOError:
            continue
        if len(peeked) >= more_than or not peeked:
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
