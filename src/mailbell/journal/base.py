"""The ports of the journal. One conformance suite (tests/journal/conformance.py) holds every engine to them."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from mailbell.mail import Mail


class Claim(msgspec.Struct, frozen=True):
    """An event that a consumer is to deliver now.

    `attempt` is 1 the first time; `first_attempt_at` the wall-clock second of that first time, None before it.
    """

    sequence: int
    attempt: int = 1
    first_attempt_at: float | None = None


class Parked(msgspec.Struct, frozen=True):
    """An event that a consumer has given up: kept, listed and replayable."""

    sequence: int
    attempts: int
    parked_at: float
    reason: str


class Consumer(Protocol):
    """A durable reader of the journal with a position of its own.

    Every sequence is in one of four states for a consumer: not yet fetched, claimed (fetched and unanswered),
    waiting for a retry, or settled (acknowledged or parked). Position, retries and parked events survive kill -9 and
    loss of power; a claim does not: what was claimed and unanswered is fetched again. So an event may come twice, and
    is never lost.
    """

    name: str

    async def fetch(self, limit: int, *, ordered: bool = False) -> Sequence[Claim]:
        """Claim up to `limit` events: retries that are due first, then new ones, each in order of sequence.

        Waits until there is at least one. With `ordered`, nothing comes while an earlier event is claimed or waits
        for its retry. Cancelling is safe: nothing is claimed then.
        """
        ...

    def ack(self, claim: Claim) -> None:
        """Settle: delivered. Returns at once; written in the background."""
        ...

    def retry(self, claim: Claim, at: float, reason: str) -> None:
        """Put back until the wall-clock second `at`; the attempt is counted."""
        ...

    def park(self, claim: Claim, reason: str) -> None:
        """Settle: given up for now; kept with its reason."""
        ...

    def release(self, claim: Claim) -> None:
        """Take the claim back uncounted, as if it had never been fetched (on stop)."""
        ...

    @property
    def position(self) -> int:
        """Every sequence up to this one is settled or waits for a retry."""
        ...

    @property
    def lag(self) -> int:
        """How many events are not settled."""
        ...

    async def parked(self) -> Sequence[Parked]:
        """What was given up, oldest first."""
        ...

    async def replay(self, sequences: Sequence[int]) -> None:
        """Deliver these (parked, or settled and still in the journal) once more, attempts starting at 1."""
        ...


class Journal(Protocol):
    """An append-only sequence of mail. Sequences start at 1 and have no holes."""

    async def append(self, mail: Mail) -> int:
        """Store the mail and return its sequence once it is on stable storage.

        Raises JournalFull or JournalUnavailable; then nothing of this mail is in the journal.
        Concurrent appends share a commit.
        """
        ...

    async def read(self, sequence: int) -> Mail:
        """Return the mail of this sequence, or raise MailGone."""
        ...

    def consumer(self, name: str) -> Consumer:
        """Return the durable consumer of this name; a new one starts after the mail that is there now.

        The very first consumers of an empty journal so see everything.
        """
        ...

    @property
    def trouble(self) -> str | None:
        """Why mail can't be taken at this moment, where that is known; None when all is well."""
        ...

    async def close(self) -> None:
        """Finish what is queued, write positions down, release the files."""
        ...
