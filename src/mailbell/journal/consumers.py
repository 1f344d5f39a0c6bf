"""A durable consumer: its events in memory, its state written behind. Fetching costs no SQL."""

import asyncio
import contextlib
import heapq
from collections.abc import Callable, Sequence

import msgspec

from mailbell.clock import Clock
from mailbell.errors import JournalUnavailable
from mailbell.journal.base import Claim, Fate, Parked, State
from mailbell.journal.positions import Positions, Saved, Waiting

MAX_WAITING = 100_000
"""No new events come while so many wait for a retry: 30 MB of memory, and a receiver that is clearly down."""

MAX_AHEAD = 1000
"""How many events may be settled past an unanswered one before it is written down: what a kill repeats."""


class Turn(msgspec.Struct, frozen=True, gc=False):
    """An event that waits for its turn. Both times are by the monotonic clock, which nobody sets.

    So a box without a battery, whose clock jumps by decades once it hears the time, gives nothing up early.
    """

    attempts: int
    first_attempt: float | None
    due: float


class SqliteConsumer:
    """Theory of operation.

    Every sequence up to `_floor` has been passed: settled, or in `_waiting`. Those passed beyond it, out of
    order, are in `_ahead` until the floor reaches them. New events are claimed from `_next` on, which is
    always beyond the floor. An event that is retried, released or replayed moves to `_waiting` (and its
    table), so that it holds nothing up, and stays there, claimed or not, until it is settled. `_agenda` is a
    heap of those that are not claimed, by when they are due; an entry whose event has moved on meanwhile is
    skipped.
    """

    def __init__(
        self, name: str, saved: Saved, last: Callable[[], int], positions: Positions, clock: Clock
    ) -> None:
        """Go on from what was saved. `last` tells the newest sequence of the journal."""
        self.name = name
        self._last = last
        self._positions = positions
        self._clock = clock
        self._floor = saved.floor
        self._parked = set(saved.parked)
        self._ahead = {each for each in (*saved.parked, *saved.waiting) if each > saved.floor}
        self._next = self._floor + 1
        self._claimed: dict[int, Claim] = {}
        self._waiting: dict[int, Turn] = {}
        self._agenda: list[tuple[float, int]] = []
        self._changed = asyncio.Event()
        self._closed = False
        self._resume(saved)

    def __repr__(self) -> str:
        state = f"{len(self._claimed)} claimed, {len(self._waiting)} waiting"
        return f"<SqliteConsumer {self.name} at {self._floor}, {state}>"

    @property
    def position(self) -> int:
        """Every sequence up to this one is settled or waits for a retry."""
        return self._floor

    @property
    def lag(self) -> int:
        """How many events are not settled."""
        return self._last() - self._floor - len(self._ahead) + len(self._waiting)

    @property
    def waiting(self) -> Sequence[int]:
        """The sequences that wait for a retry, or are being retried."""
        return list(self._waiting)

    async def fetch(self, limit: int, *, ordered: bool = False) -> Sequence[Claim]:
        """Claim up to `limit` events; waits until there is at least one."""
        while True:
            if self._closed:
                raise JournalUnavailable("the journal is closed")
            self._changed.clear()
            claims = self._first() if ordered else self._any(limit)
            if claims:
                self._claimed |= {claim.sequence: claim for claim in claims}
                return claims
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._until_due(ordered)):
                    await self._changed.wait()

    def holds(self, claim: Claim) -> bool:
        """Whether the claim still is ours."""
        return claim.sequence in self._claimed

    def ack(self, claim: Claim) -> None:
        """Settle: delivered."""
        self._answer(claim)
        self._settle(claim.sequence)

    def retry(self, claim: Claim, at: float, reason: str) -> None:
        """Put back until the wall-clock second `at`; the attempt is counted."""
        self._answer(claim)
        now = self._clock.time()
        first = self._first_attempt_at(claim.sequence)
        first = now if first is None else first
        waiting = Waiting(claim.attempt, first, since=now, due=max(at, now), reason=_plain(reason))
        self._wait(claim.sequence, waiting)

    def park(self, claim: Claim, reason: str) -> None:
        """Settle: given up for now."""
        self._answer(claim)
        parked = Parked(claim.sequence, claim.attempt, self._clock.time(), _plain(reason))
        self._put_aside(claim.sequence, parked)
        self._settle(claim.sequence)

    def release(self, claim: Claim) -> None:
        """Take the claim back uncounted."""
        self._answer(claim)
        first = self._first_attempt_at(claim.sequence)
        self._wait_now(claim.sequence, claim.attempt - 1, first, "released")

    @property
    def parked_count(self) -> int:
        """How many events are parked."""
        return len(self._parked)

    def state(self, sequence: int) -> State:
        """How it stands with this event."""
        turn = self._waiting.get(sequence)
        if turn is not None:
            return "waiting" if turn.attempts else "pending"
        if sequence in self._parked:
            return "parked"
        return "settled" if self._is_passed(sequence) else "pending"

    async def fate(self, sequence: int) -> Fate:
        """How it stands with this event, and why."""
        state = self.state(sequence)
        if state not in ("waiting", "parked"):
            return Fate(state=state)
        match await self._positions.noted(self.name, sequence), self._waiting.get(sequence):
            case Parked() as parked, None:
                return Fate(
                    state="parked", attempts=parked.attempts, at=parked.parked_at, reason=parked.reason
                )
            case Waiting() as waiting, Turn() as turn:
                due = self._clock.time() + turn.due - self._clock.monotonic()
                return Fate(
                    state="waiting", attempts=turn.attempts, due=due, at=waiting.since, reason=waiting.reason
                )
            case _:  # it has moved on meanwhile
                return Fate(state=self.state(sequence))

    async def parked(self) -> Sequence[Parked]:
        """What was given up, in order of sequence."""
        return await self._positions.parked(self.name)

    async def discard(self, sequences: Sequence[int]) -> None:
        """Let go of these parked events for good."""
        gone = self._parked.intersection(sequences)
        for sequence in gone:
            self._put_aside(sequence, None)
        self._pass_all_before(max(gone, default=0))
        await self._positions.flush()

    async def replay(self, sequences: Sequence[int]) -> None:
        """Deliver these once more, now, attempts starting at 1; durable when it returns."""
        for sequence in sequences:
            if sequence not in self._claimed and self._is_passed(sequence):
                self._put_aside(sequence, None)
                self._wait_now(sequence, 0, None, "replayed")
        await self._positions.flush()

    def wake(self) -> None:
        """The journal has new mail."""
        self._changed.set()

    def close(self) -> None:
        """Take back what is unanswered, and end `fetch`."""
        for claim in list(self._claimed.values()):
            self.release(claim)
        self._closed = True
        self._changed.set()

    def _any(self, limit: int) -> list[Claim]:
        """What is due, then what is new."""
        claims: list[Claim] = []
        now = self._clock.monotonic()
        while len(claims) < limit and (due := self._next_due()) is not None and due <= now:
            claims.append(self._claim_waiting(heapq.heappop(self._agenda)[1]))
        while len(claims) < limit and (new := self._next_new()) is not None:
            claims.append(Claim(new))
            self._next = new + 1
        return claims

    def _first(self) -> list[Claim]:
        """The earliest that is not settled, when its time has come and nothing is under way."""
        if self._claimed:
            return []
        new, waiting = self._next_new(), min(self._waiting, default=None)
        if waiting is not None and (new is None or waiting < new):
            ready = self._waiting[waiting].due <= self._clock.monotonic()
            return [self._claim_waiting(waiting)] if ready else []
        if new is None:
            return []
        self._next = new + 1
        return [Claim(new)]

    def _next_new(self) -> int | None:
        while self._next in self._ahead:  # settled before the last stop
            self._next += 1
        return self._next if self._next <= self._last() and len(self._waiting) < MAX_WAITING else None

    def _next_due(self) -> float | None:
        """When the first on the agenda is due."""
        while self._agenda and self._is_stale(*self._agenda[0]):
            heapq.heappop(self._agenda)
        return self._agenda[0][0] if self._agenda else None

    def _is_stale(self, due: float, sequence: int) -> bool:
        turn = self._waiting.get(sequence)
        return turn is None or turn.due != due or sequence in self._claimed

    def _claim_waiting(self, sequence: int) -> Claim:
        return Claim(sequence, self._waiting[sequence].attempts + 1, self._first_attempt_at(sequence))

    def _first_attempt_at(self, sequence: int) -> float | None:
        """By the wall clock as it is set now."""
        turn = self._waiting.get(sequence)
        if turn is None or turn.first_attempt is None:
            return None
        return self._clock.time() - (self._clock.monotonic() - turn.first_attempt)

    def _until_due(self, ordered: bool) -> float | None:
        """Seconds until fetch has to look again though nothing changed."""
        if ordered:
            idle = self._waiting and not self._claimed
            due = self._waiting[min(self._waiting)].due if idle else None
        else:
            due = self._next_due()
        return None if due is None else due - self._clock.monotonic()

    def _answer(self, claim: Claim) -> None:
        if self._claimed.pop(claim.sequence, None) is None:
            raise ValueError(
                f"consumer {self.name}: event {claim.sequence} is not claimed, or was answered already"
            )
        self._changed.set()

    def _put_aside(self, sequence: int, parked: Parked | None) -> None:
        """Park, or (None) let it be so no longer."""
        (self._parked.discard if parked is None else self._parked.add)(sequence)
        self._positions.park(self.name, sequence, parked)

    def _settle(self, sequence: int) -> None:
        if self._waiting.pop(sequence, None) is not None:
            self._positions.wait(self.name, sequence, None)
        self._pass(sequence)

    def _wait(self, sequence: int, waiting: Waiting) -> None:
        self._schedule(sequence, waiting, waiting.due - waiting.since)
        self._positions.wait(self.name, sequence, waiting)
        self._pass(sequence)

    def _wait_now(self, sequence: int, attempts: int, first_attempt_at: float | None, reason: str) -> None:
        now = self._clock.time()
        self._wait(sequence, Waiting(attempts, first_attempt_at, since=now, due=now, reason=reason))
        self._changed.set()

    def _schedule(self, sequence: int, waiting: Waiting, delay: float) -> None:
        now, first = self._clock.monotonic(), waiting.first_attempt_at
        if first is not None:
            first = now - max(0.0, waiting.since - first)  # what passed while nobody ran does not count
        due = now + delay
        self._waiting[sequence] = Turn(waiting.attempts, first, due)
        self._next_due()  # clears the agenda of old entries, also where nobody else does (ordered)
        heapq.heappush(self._agenda, (due, sequence))

    def _is_passed(self, sequence: int) -> bool:
        return 0 < sequence <= self._floor or sequence in self._ahead

    def _pass(self, sequence: int) -> None:
        """Note that this event holds nothing up any more, and move the floor as far as that allows."""
        if self._is_passed(sequence):
            return
        self._ahead.add(sequence)
        if len(self._ahead) > MAX_AHEAD:
            self._pass_unanswered()
        self._advance()

    def _advance(self) -> None:
        before = self._floor
        while self._floor + 1 in self._ahead:
            self._floor += 1
            self._ahead.remove(self._floor)
        if self._floor != before:
            self._next = max(self._next, self._floor + 1)  # these are in `_ahead` no more
            self._positions.move(self.name, self._floor)

    def _pass_all_before(self, sequence: int) -> None:
        """Have the floor go on past it: beyond, what nothing is noted of is new after a kill."""
        if sequence <= self._floor:
            return
        self._pass_unanswered()
        for each in range(self._floor + 1, sequence):
            if not self._is_passed(each):
                self._wait_now(each, 0, None, "passed over")
        self._advance()

    def _pass_unanswered(self) -> None:
        """Write long unanswered claims down as waiting, so that the floor goes on past them."""
        now = self._clock.time()
        for sequence, claim in self._claimed.items():
            if sequence not in self._waiting:
                first = Waiting(0, claim.first_attempt_at, since=now, due=now, reason="unanswered")
                self._waiting[sequence] = Turn(0, None, self._clock.monotonic())
                self._positions.wait(self.name, sequence, first)
                self._ahead.add(sequence)

    def _resume(self, saved: Saved) -> None:
        """Take up what waited, for no longer than was asked for, whatever the clock was set to since."""
        now = self._clock.time()
        for sequence, waiting in saved.waiting.items():
            self._schedule(sequence, waiting, min(waiting.due - now, waiting.due - waiting.since))
        self._advance()


def _plain(reason: str) -> str:
    """The text of some exception: of bounded length, and without the lone surrogates that no file takes."""
    return reason[:1000].encode(errors="replace").decode()
