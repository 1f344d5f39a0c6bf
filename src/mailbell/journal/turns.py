"""What waits with one consumer in JetStream: which events, and which of those in hand is due next."""

import heapq
from collections.abc import Collection, Iterator

import msgspec

from mailbell.clock import Clock
from mailbell.journal.base import Claim, Fate
from mailbell.journal.hands import Hand


class Waiting(msgspec.Struct, frozen=True):
    """What waits, as it is in the stream; times by the wall clock."""

    sequence: int
    attempts: int
    first_attempt_at: float | None
    since: float
    due: float
    reason: str


class Turn(msgspec.Struct, gc=False):
    """What waits, by the monotonic clock, which nobody sets; `hand` is None where it is not in hand."""

    attempts: int
    since: float
    """By the wall clock, as it is written: what tells this turn from an earlier one."""
    first_attempt: float | None
    due: float
    hand: Hand | None = None


class Turns:
    """By sequence. An event that is claimed waits on, until it is settled."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turns: dict[int, Turn] = {}
        self._agenda: list[tuple[float, int]] = []
        self._gone: set[int] = set()
        self.all: set[int] = set()
        """All that is known to wait, wherever it is; of some no more than that is known."""

    def __repr__(self) -> str:
        return f"<Turns of {len(self.all)}, {len(self._agenda)} in hand>"

    def get(self, sequence: int) -> Turn | None:
        """The turn of this event, as far as it is known."""
        return self._turns.get(sequence)

    def note(
        self, sequence: int, attempts: int, first_attempt_at: float | None, due: float, reason: str
    ) -> Waiting:
        """From now on it waits; what is to be written down of that."""
        waiting = Waiting(sequence, attempts, first_attempt_at, self._clock.time(), due, reason)
        self._turns[sequence] = self.made_of(waiting)
        self.all.add(sequence)
        return waiting

    def took(self, waiting: Waiting) -> Turn:
        """It has come from the stream: the turn that is known, unless this one is another."""
        turn = self._turns.get(waiting.sequence)
        if turn is None or turn.since != waiting.since:
            turn = self._turns[waiting.sequence] = self.made_of(waiting)
        self.all.add(waiting.sequence)
        return turn

    def made_of(self, waiting: Waiting) -> Turn:
        """From what was written, perhaps by another node or before a restart: no longer than was asked for.

        What passed while nobody ran does not count for the time since the first attempt.
        """
        now, wall = self._clock.monotonic(), self._clock.time()
        first = waiting.first_attempt_at
        if first is not None:
            first = now - max(0.0, waiting.since - first)
        due = now + min(waiting.due - wall, waiting.due - waiting.since)
        return Turn(waiting.attempts, waiting.since, first, due)

    def first_attempt_at(self, turn: Turn) -> float | None:
        """By the wall clock as it is set now."""
        if turn.first_attempt is None:
            return None
        return self._clock.time() - (self._clock.monotonic() - turn.first_attempt)

    def first_of(self, claim: Claim) -> float:
        """The same of what is claimed; now, where nothing is known."""
        turn = self.get(claim.sequence)
        first = None if turn is None else self.first_attempt_at(turn)
        return first if first is not None else claim.first_attempt_at or self._clock.time()

    def fate(self, waiting: Waiting) -> Fate:
        """How it stands with what waits."""
        turn = self.get(waiting.sequence) or self.made_of(waiting)
        due = self.due_at(turn)
        return Fate(
            state="waiting", attempts=waiting.attempts, due=due, at=waiting.since, reason=waiting.reason
        )

    def due_at(self, turn: Turn) -> float:
        """By the wall clock as it is set now."""
        return self._clock.time() + turn.due - self._clock.monotonic()

    def hold(self, turn: Turn, hand: Hand) -> None:
        """It is in hand, until its time."""
        turn.hand = hand
        heapq.heappush(self._agenda, (turn.due, hand.sequence))

    @property
    def held(self) -> int:
        """How many are in hand, about."""
        return len(self._agenda)

    def hands(self) -> Iterator[Hand]:
        """Those that are in hand."""
        return (turn.hand for turn in self._turns.values() if turn.hand is not None)

    def let_go(self) -> list[Hand]:
        """None is in hand any more; those that were."""
        hands = list(self.hands())
        for turn in self._turns.values():
            turn.hand = None
        return hands

    def next_due(self) -> float | None:
        """When the first of those in hand is due."""
        while self._agenda:
            due, sequence = self._agenda[0]
            turn = self._turns.get(sequence)
            if turn is not None and turn.hand is not None and turn.due == due:
                return due
            heapq.heappop(self._agenda)
        return None

    def pop_due(self) -> Turn:
        """The first of those in hand, off the agenda; after `next_due` has said that there is one."""
        return self._turns[heapq.heappop(self._agenda)[1]]

    def remove(self, sequence: int) -> None:
        """It does not wait any more."""
        self.all.discard(sequence)
        self._turns.pop(sequence, None)
        self._gone.add(sequence)

    def begin_listing(self) -> set[int]:
        """The server is about to list what waits; what is returned goes into `listed`."""
        self._gone.clear()
        return set(self._turns)

    def listed(self, before: set[int], listed: Collection[int], claimed: Collection[int]) -> None:
        """That is what waits, but for what has changed since."""
        later = set(self._turns) - before
        self.all = {*listed, *claimed, *later} - self._gone
        for sequence in before - self.all:
            self._turns.pop(sequence, None)
