"""How long a connection may take: looks at the clock and decides; the connection does.

While somebody waits for a slot the rules are stricter: a client that says nothing, or that talks without
sending mail, must not lock the others out.
"""

from typing import NamedTuple

from mailbell.server import replies
from mailbell.settings import IoServerSettings
from mailbell.smtp.replies import Reply

EVICTED_AFTER = 10.0
"""Seconds that a connection may say nothing between transactions while somebody waits for its slot."""

FRUITLESS_AFTER = 20.0
"""Seconds that it may talk without coming to a message, while somebody waits (NOOP, RSET, MAIL, NOOP…)."""

TURN = 20.0
"""Seconds that a client with mail after mail may keep its slot while somebody has waited `HURRY`."""

HURRY = 5.0
"""Seconds: who waits for a slot for less has come in the middle of a burst, and has one soon anyway."""

RATE_AFTER = 30.0
"""Seconds after which a message has to come at `min_rate`; 10 while somebody waits."""

LINGER = 5.0
"""Seconds from our last word until the line is cut: a client that reads no more can't keep its slot."""


class Parting(NamedTuple):
    """Why a connection is to end, and what the client is told; None: it does not listen, cut the line."""

    reply: Reply | None
    outcome: str


_FRUITLESS = Parting(replies.EVICTED, "It brought no mail, and another client needed its slot.")
_EVICTED = Parting(replies.EVICTED, "It was idle, and another client needed its slot.")
_TURN = Parting(replies.TURN, "It had its slot for a while, and another client needed it.")
_IDLE = Parting(replies.IDLE, "No command and no part of a message came for longer than idle_timeout.")
_LONG = Parting(replies.TOO_SLOW, "The message took longer than data_timeout.")
_SLOW = Parting(replies.TOO_SLOW, "The message came more slowly than min_rate.")
_DEAF = Parting(None, "The client did not read its replies.")
_LINGERS = Parting(None, "The client did not close the connection.")


class Patience:
    """What the rules need to know of one connection. Times are those of the monotonic clock."""

    __slots__ = (
        "_settings",
        "active_at",
        "began",
        "fruitless_since",
        "message_since",
        "octets",
        "over_since",
    )

    def __init__(self, settings: IoServerSettings, now: float) -> None:
        self._settings = settings
        self.began = now
        """When it got its slot."""
        self.active_at = now
        """When it was last sent a reply, or sent a part of a message. Parts of a command don't count."""
        self.fruitless_since = now
        """When its last message came, or it."""
        self.message_since: float | None = None
        self.octets = 0
        """Of the message: since when it comes, and how much of it has come."""
        self.over_since: float | None = None
        """When the last word was said; set by the connection."""

    def heard(self, now: float, octets: int) -> None:
        """A part of a message has come."""
        self.active_at = now
        if self.message_since is None:
            self.message_since, self.octets = now, 0
        self.octets += octets

    def begin_again(self, now: float) -> None:
        """The message is in, or it was our fault that it took so long."""
        self.message_since = None
        self.fruitless_since = self.active_at = now

    def lost(self, now: float, *, deaf: bool, between: bool, waiting_since: float | None) -> Parting | None:
        """Decide whether patience is lost, and why.

        `deaf`: it does not read its replies; `between`: no transaction is under way; `waiting_since`: since
        when somebody waits for a slot.
        """
        if self.over_since is not None:
            return _LINGERS if now - self.over_since > LINGER else None
        idle = now - self.active_at
        waited = -1.0 if waiting_since is None else now - waiting_since
        if deaf:
            return _DEAF if idle > (self._settings.idle_timeout if waited < 0 else EVICTED_AFTER) else None
        if idle > self._settings.idle_timeout:
            return _IDLE
        if self.message_since is not None:
            return self._pace(now - self.message_since, waited)
        if waited < 0:
            return None
        if between and idle > EVICTED_AFTER:
            return _EVICTED
        if min(waited, now - self.fruitless_since) > FRUITLESS_AFTER:
            return _FRUITLESS
        return self.had_its_turn(now, waiting_since) if between else None

    def had_its_turn(self, now: float, waiting_since: float | None) -> Parting | None:
        """Decide so between two mails only."""
        if waiting_since is None or now - waiting_since <= HURRY or now - self.began <= TURN:
            return None
        return _TURN

    def _pace(self, taken: float, waited: float) -> Parting | None:
        """Judge a message that takes too long, or comes too slowly."""
        if taken > self._settings.data_timeout:
            return _LONG
        tried = taken > (RATE_AFTER if waited < 0 else EVICTED_AFTER)
        return _SLOW if tried and self.octets < self._settings.min_rate * taken else None
