"""Slots: how many connections are served at once (HSYCO's `threads`), and the queue of those who wait."""

from collections import OrderedDict, deque
from typing import Protocol


class Client(Protocol):
    """A connection, as the slots see it."""

    ip: str
    arrived_at: float

    def serve(self) -> None:
        """A slot is yours: greet."""
        ...


class Slots:
    """Hands out `limit` slots. Sources take turns, each in its own order of arrival.

    So a source with many connections, be it a recorder with a burst of mails or somebody who means harm,
    waits for itself, and not the others for it.
    """

    def __init__(self, limit: int, queue_length: int) -> None:
        self.limit = limit
        self._queue_length = queue_length
        self._waiting: OrderedDict[str, deque[Client]] = OrderedDict()  # the next source first
        self.taken = 0
        self.waiting = 0
        """How many are being served, and how many wait; to be read only."""

    @property
    def waiting_since(self) -> float | None:
        """When the one that is next arrived; None when nobody waits."""
        return next(iter(self._waiting.values()))[0].arrived_at if self._waiting else None

    def enter(self, client: Client) -> bool:
        """Serve the client now or let it wait; False when the queue is full as well."""
        if self.taken < self.limit:
            self.taken += 1
            client.serve()
        elif self.waiting < self._queue_length:
            self.waiting += 1
            self._waiting.setdefault(client.ip, deque()).append(client)
        else:
            return False
        return True

    def give_up(self, client: Client) -> None:
        """A client that waits has gone, or one that was never let in."""
        queue = self._waiting.get(client.ip)
        if queue and client in queue:
            queue.remove(client)
            self.waiting -= 1
            if not queue:
                del self._waiting[client.ip]

    def leave(self) -> None:
        """A served client has gone; the next one is served."""
        self.taken -= 1
        if self._waiting and self.taken < self.limit:
            ip, queue = self._waiting.popitem(last=False)
            client = queue.popleft()
            if queue:
                self._waiting[ip] = queue  # at the end: it is the others' turn
            self.waiting -= 1
            self.taken += 1
            client.serve()
