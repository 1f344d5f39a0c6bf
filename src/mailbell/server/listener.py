"""Listening: every address that the settings ask for, or one clear line why not; and the accept loop."""

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Callable

from mailbell.errors import ListenError

BACKLOG = 1024
ACCEPT_AT_ONCE = 64

RETRY_ACCEPT = 0.25
"""Seconds to wait when the process is out of file descriptors; connections wait in the backlog meanwhile."""

COMPLAIN_EVERY = 60.0

logger = logging.getLogger("mailbell.smtp")

_FAMILY_MISSING = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

Arrived = Callable[[socket.socket, str, int], None]
"""Called with a connected, non-blocking socket and the client's address and port."""


class Listener:
    """Accepts on some sockets. An accept loop of our own: it outlives EMFILE, and is faster than uvloop's."""

    def __init__(self, sockets: list[socket.socket], arrived: Arrived) -> None:
        self.sockets = sockets
        self._arrived = arrived
        self._loop = asyncio.get_running_loop()
        self._complained_at = float("-inf")
        for listening in sockets:
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    def close(self) -> None:
        """Accept no more; who is in the backlog is reset."""
        for listening in self.sockets:
            if listening.fileno() >= 0:
                self._loop.remove_reader(listening.fileno())
                listening.close()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPT_AT_ONCE):  # then others have their turn on the loop
            try:
                client, address = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    self._rest(listening, error)
                    return
                continue  # this client was gone before it was accepted
            client.setblocking(False)
            self._arrived(client, *address[:2])

    def _rest(self, listening: socket.socket, error: OSError) -> None:
        if self._loop.time() >= self._complained_at + COMPLAIN_EVERY:
            self._complained_at = self._loop.time()
            logger.error("new connections have to wait: %s; raise the limit (ulimit -n)", error.strerror)
        self._loop.remove_reader(listening.fileno())
        self._loop.call_later(RETRY_ACCEPT, self._go_on, listening)

    def _go_on(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            self._loop.add_reader(listening.fileno(), self._accept, listening)


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
            raise ListenError(f"ioservers.{id_}.listen: no address of {', '.join(addresses)} is to be had")
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
