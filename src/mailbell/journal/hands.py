"""In whose hand the events of a consumer in JetStream are, as far as one node knows. Pure.

```
given to us ─▶ fresh ──▶ claimed ─┬─▶ settled
               (or a Turn)        └─▶ putting ─▶ settled
               returned: handed back, for any node
```
"""

import msgspec

from mailbell.journal.base import Claim
from mailbell.newest import Newest

REMEMBERED = 10_000
"""How many settled events are remembered, should the server not have heard of it."""

Key = tuple[bool, int]
"""Whether it waited for a retry, and its sequence in its stream."""


class Hand(msgspec.Struct, frozen=True):
    """An event that is ours at present: where to answer, and the term of the lease that we got it in."""

    sequence: int
    reply: str
    key: Key
    term: int


class Hands:
    """What the server has not heard the end of. By sequence, what is `putting` by key."""

    def __init__(self) -> None:
        self.fresh: dict[int, Hand] = {}
        self.claimed: dict[int, tuple[Claim, Hand]] = {}
        self.returned: set[int] = set()
        self.putting: dict[Key, Hand] = {}
        """Retried or parked, and that is not stored yet."""
        self.delivered = 0
        """The newest that was handed to any node."""
        self._floor = 0
        """Up to where all are answered."""
        self._others = 0
        """How many events other nodes have in hand."""
        self._void: set[int] = set()
        """Claimed in an earlier term, and not answered yet."""
        self._settled: Newest[Key, None] = Newest(REMEMBERED)

    def __repr__(self) -> str:
        return f"<Hands, {len(self.fresh)} fresh, {len(self.claimed)} claimed>"

    @property
    def position(self) -> int:
        """Every sequence up to this one is settled or waits for a retry; or another node has it."""
        mine = [hand.sequence for _, hand in self.claimed.values() if not hand.key[0]]
        return min([*mine, *self.fresh, *self.returned, self.delivered + 1]) - 1

    def lag(self, last: int) -> int:
        """How many events up to `last` are neither settled nor wait."""
        return max(0, last - self.delivered) + self._mine() + len(self.returned) + self._others

    def is_pending(self, sequence: int) -> bool:
        """Whether it is on its way: to us, or maybe to another node."""
        elsewhere = self._others > 0 and sequence > self._floor and (False, sequence) not in self._settled
        return sequence > self.delivered or elsewhere or self.has(sequence)

    def has(self, sequence: int) -> bool:
        """Whether it is in our hand."""
        putting = (hand.sequence for hand in self.putting.values())
        return any(sequence in each for each in (self.claimed, self.fresh, self.returned, putting))

    def retried(self) -> list[int]:
        """Those that are being retried."""
        return [hand.sequence for _, hand in self.claimed.values() if hand.key[0]]

    def came(self, sequence: int) -> None:
        """The server has handed it to us."""
        if sequence <= self.delivered and sequence not in self.returned and self._others:
            self._others -= 1  # another node had it
        self.delivered = max(self.delivered, sequence)
        self.returned.discard(sequence)

    def learn(self, delivered: int, floor: int, unanswered: int) -> None:
        """That is how it stands at the server."""
        self.delivered = max(self.delivered, delivered)
        self._floor = floor
        self.returned.clear()
        self._others = max(0, unanswered - self._mine())

    def claim(self, claim: Claim, hand: Hand) -> Claim:
        """It is to be delivered now."""
        self.claimed[claim.sequence] = claim, hand
        return claim

    def answer(self, claim: Claim) -> Hand | None:
        """It was answered; None where it is another node's by now. ValueError where it is not claimed."""
        if claim.sequence in self._void:
            self._void.remove(claim.sequence)
            return None
        found = self.claimed.pop(claim.sequence, None)
        if found is None:
            raise ValueError(f"event {claim.sequence} is not claimed, or was answered already")
        return found[1]

    def settle(self, hand: Hand) -> None:
        """It is settled, and the server is about to hear of it."""
        self._settled[hand.key] = None

    def is_settled(self, hand: Hand) -> bool:
        """Whether it was settled before, and the server has not heard of it."""
        return hand.key in self._settled

    def lapse(self) -> None:
        """The lease was lost: all of it may be another node's."""
        self._void.update(self.claimed)
        self.claimed.clear()
        self.fresh.clear()
        self.returned.clear()

    def _mine(self) -> int:
        return sum(not hand.key[0] for _, hand in self.claimed.values()) + len(self.fresh)
