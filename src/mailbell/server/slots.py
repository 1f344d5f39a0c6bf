"""Slots: how many connections are served at once (HSYCO's `threads`), and the queue of those who wait."""

from collections import OrderedDict
from typing import Protocol


class Client(Protocol):
    """A connection, as the slots see it."""

    def serve(self) -> None:
        """A slot is yours: greet."""
        ...


class Slots:
    """Hands out `limit` slots in order of arrival."""

    def __init__(self, limit: int, queue_length: int) -> None:
        self._limit = limit
        self._queue_length = queue_length
        self._waiting: OrderedDict[Client, None] = OrderedDict()
        self._taken = 0

    @property
    def taken(self) -> int:
        """How many connections are being served."""
        return self._taken

    @property
    def waiting(self) -> int:
        """How many connections wait."""
        return len(self._waiting)

    def enter(self, client: Client) -> bool:
        """Serve the client now or let it wait; False when the queue is full as well."""
        if self._taken < self._limit:
            self._taken += 1
            client.serve()
        elif len(self._waiting) < self._queue_length:
            self._waiting[client] = None
        else:
            return False
        return True

    def give_up(self, client: Client) -> None:
        """A client that waits has gone."""
        self._waiting.pop(client, None)

    def leave(self) -> None:
        """A served client has gone; the one that has waited longest is served."""
        self._taken -= 1
        if self._waiting and self._taken < self._limit:
            client, _ = self._waiting.popitem(last=False)
            self._taken += 1
            client.serve()
