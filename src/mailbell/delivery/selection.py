"""Selection: match → dedupe → cooldown, the way of an event to its sink before the first try."""

import msgspec

from mailbell.delivery.cooldown import Cooldown, Dedupe
from mailbell.delivery.match import Match
from mailbell.event.convert import Converted
from mailbell.settings import SinkSettings


class Skip(msgspec.Struct, frozen=True):
    """The sink does not get it."""

    reason: str


NO_MATCH = Skip("its match does not let it through")
REPEATED = Skip("the same mail again within dedupe")
SUPPRESSED = Skip("suppressed by cooldown")


class Selection:
    """Decides once for each event; what was let through stays so for its retries."""

    def __init__(self, settings: SinkSettings) -> None:
        self._match = Match(settings.match)
        self._dedupe = Dedupe(settings.dedupe) if settings.dedupe else None
        self._cooldown = Cooldown(settings.cooldown) if settings.cooldown else None
        self._counts: dict[int, int] = {}

    def admit(self, item: Converted, sequence: int, now: float, *, fresh: bool) -> int | Skip:
        """How many like it the cooldown has suppressed before, or why the sink does not get it.

        A retry or a replay is not `fresh`: it was let through before, and is no repeat of itself.
        """
        if not self._match(item):
            return NO_MATCH
        if not fresh:
            return self._counts.get(sequence, 0)
        if self._dedupe is not None and self._dedupe.repeated(item.event, now):
            return REPEATED
        count = 0 if self._cooldown is None else self._cooldown.admit(item.event, now)
        if count is None:
            return SUPPRESSED
        if count:
            self._counts[sequence] = count
        return count

    def matches(self, item: Converted) -> bool:
        """Whether `match` lets it through."""
        return self._match(item)

    def settled(self, sequence: int) -> None:
        """The event will not come again."""
        self._counts.pop(sequence, None)
