"""A client, from accept() to its end: its socket, its address, and what it holds of the server."""

import socket
from contextlib import suppress
from typing import Protocol

from mailbell.clock import Clock
from mailbell.server.transcript import Transcripts
from mailbell.smtp.replies import Reply


class Host(Protocol):
    """What a client needs of the I/O server."""

    id: str
    clock: Clock
    transcripts: Transcripts

    def admit(self, client: "Client") -> None:
        """A slot is free for this client."""
        ...

    def gone(self, client: "Client", outcome: str) -> None:
        """It is no more; what it held is free."""
        ...


class Client:
    """Waits for its slot ungreeted, as a bare socket: that costs next to nothing."""

    __slots__ = ("_host", "arrived_at", "counted", "ip", "port", "served", "socket", "transcript")

    def __init__(self, host: Host, client: socket.socket, ip: str, port: int) -> None:
        self._host = host
        self.socket = client
        self.ip = ip
        self.port = port
        self.counted = False  # among the connections of its address
        self.served = False  # has a slot
        self.arrived_at = host.clock.monotonic()
        self.transcript = host.transcripts.begin(host.id, ip, port)

    def __repr__(self) -> str:
        return f"<Client {self.ip}:{self.port}>"

    def serve(self) -> None:
        """A slot is free."""
        self.served = True
        self._host.admit(self)

    def stands_for(self, ip: str, port: int) -> None:
        """A load balancer has said who the client is."""
        self.transcript.record("=", f"forwarded by the proxy {self.ip}")
        self.ip = self.transcript.ip = ip
        self.port = self.transcript.port = port

    def refuse(self, reply: Reply, outcome: str) -> None:
        """Send this instead of a greeting, and close."""
        self.transcript.record(">", reply)
        try:
            self.socket.send(reply.wire)  # a fresh socket has room for a line
        except OSError as error:
            outcome = f"{outcome} It was gone before it could be told: {error}."
        _close_gently(self.socket)
        self._host.gone(self, outcome)

    def drop(self, outcome: str) -> None:
        """Close without a word."""
        self.socket.close()
        self._host.gone(self, outcome)


def _close_gently(client: socket.socket) -> None:
    """Close so that the last words arrive: with octets unread, close() would send a reset after them."""
    with suppress(OSError):  # it has gone, or has said nothing
        client.shutdown(socket.SHUT_WR)
        client.recv(65536)
    client.close()
