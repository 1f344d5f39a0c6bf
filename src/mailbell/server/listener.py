"""Listening sockets: every address that the settings ask for, or one clear line why not."""

import errno
import ipaddress
import logging
import socket

from mailbell.errors import ListenError

BACKLOG = 1024

logger = logging.getLogger("mailbell.smtp")

_FAMILY_MISSING = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}


def bind_all(id_: str, addresses: tuple[str, ...], port: int) -> list[socket.socket]:
    """Listen on each address; ListenError, with nothing left open, when one can't be had.

    A wildcard of an address family that the machine lacks is skipped with a line in the log.
    """
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            try:
                sockets.append(_bind(address, port))
            except OSError as error:
                if error.errno in _FAMILY_MISSING and ipaddress.ip_address(address).is_unspecified:
                    logger.info("%s: %s skipped: this machine has no such address family", id_, address)
                    continue
                raise ListenError(_explain(id_, address, port, error)) from error
        if not sockets:
            raise ListenError(
                f"ioservers.{id_}.listen: none of {', '.join(addresses)} is an address of this machine"
            )
    except ListenError:
        for each in sockets:
            each.close()
        raise
    return sockets


def name(listening: socket.socket) -> str:
    """The socket's address for people: `127.0.0.1:25`, `[::]:25`."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # 0.0.0.0 has a socket of its own
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((address, port))
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _explain(id_: str, address: str, port: int, error: OSError) -> str:
    where = f"ioservers.{id_}: {address} port {port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is taken by another program; stop it, or choose another port (--port 2525)"
    if error.errno == errno.EACCES:
        return (
            f"{where} needs a right that this process lacks; use a port from 1024 up (--port 2525), "
            "or grant it: AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit, "
            "or `setcap cap_net_bind_service=+ep` on the Python interpreter"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: this is not an address of this machine; see `ip address`, or use 0.0.0.0"
    return f"{where}: {error.strerror or error}"
