"""The ports of the journal. One suite (tests/journal/conformance.py) holds every engine to them."""

import asyncio
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from mailbell.errors import JournalError
from mailbell.mail import Mail


class Claim(msgspec.Struct, frozen=True):
    """An event that a consumer is to deliver now.

    `attempt` is 1 the first time; `first_attempt_at` the wall-clock second at which that was answered.
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


State = Literal["pending", "waiting", "parked", "settled"]
"""`pending`: it has not been answered yet; `waiting`: for a retry, or being retried."""


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of an event with a consumer so far. Times are wall-clock seconds.

    `due`: when it is tried again; `at`: when it was settled, or the last try failed; `reason`: why.
    `skipped` is what a sink's delivery knows: settled, for the sink was not to get it.
    """

    state: State | Literal["skipped"]
    attempts: int = 0
    due: float | None = None
    at: float | None = None
    reason: str | None = None


class Consumer(Protocol):
    """A durable reader of the journal with a position of its own.

    Every sequence is in one of four states for a consumer: not yet fetched, claimed (fetched and unanswered),
    waiting for a retry, or settled (acknowledged or parked). Position, retries and parked events survive kill
    -9 and loss of power, all but the last moments of it; a claim does not: what was claimed and unanswered is
    fetched again. So an event may come twice, and is never lost.
    """

    name: str

    async def fetch(self, limit: int, *, ordered: bool = False) -> Sequence[Claim]:
        """Claim up to `limit` (1 or more) events: retries that are due, longest due first, then new ones.

        Waits until there is at least one. With `ordered` they come one at a time: nothing while an event is
        claimed or the earliest waits for its retry. Cancelling is safe: nothing is claimed then. Retention
        may have removed the mail of an event that comes late (a consumer long away, a replay): on MailGone
        acknowledge and go on.
        """
        ...

    def holds(self, claim: Claim) -> bool:
        """Whether the claim still is ours, not another node's of a cluster; asked right before delivering.

        The answers to one that is not are of no effect.
        """
        ...

    def ack(self, claim: Claim) -> None:
        """Settle: delivered. Returns at once; written in the background."""
        ...

    def retry(self, claim: Claim, at: float, reason: str) -> None:
        """Put back until the wall-clock second `at`, the attempt counted. Setting the clock moves nothing."""
        ...

    def park(self, claim: Claim, reason: str) -> None:
        """Settle: given up for now; kept with its reason."""
        ...

    def release(self, claim: Claim) -> None:
        """Take the claim back uncounted, as if it had never been fetched (on stop)."""
        ...

    @property
    def position(self) -> int:
        """Every sequence up to this one is settled or waits for a retry, as far as is known here."""
        ...

    @property
    def lag(self) -> int:
        """How many events are not settled, as far as is known here: in a cluster that is some seconds old."""
        ...

    @property
    def parked_count(self) -> int:
        """How many events are parked."""
        ...

    def state(self, sequence: int) -> State:
        """How it stands with this event, known at once; also of mail that retention has removed."""
        ...

    async def fate(self, sequence: int) -> Fate:
        """How it stands with this event, and why."""
        ...

    async def parked(self) -> Sequence[Parked]:
        """What was given up, in order of sequence."""
        ...

    async def discard(self, sequences: Sequence[int]) -> None:
        """Let go of these parked events for good; retention may then remove their mail."""
        ...

    async def replay(self, sequences: Sequence[int]) -> None:
        """Deliver these (parked, waiting, or settled) once more, now, attempts starting at 1.

        Durable when it returns. What is claimed or not yet fetched is left alone: it is on its way.
        """
        ...


class Appender(Protocol):
    """Where mail goes: all that receiving knows of a journal."""

    def append(self, mail: Mail) -> asyncio.Future[int]:
        """Store the mail; its sequence, once it is on stable storage.

        Awaited, raises JournalFull or JournalUnavailable; then nothing of this mail is in the journal. (In a
        cluster that is not known, and the same mail again is this one.) Concurrent appends share a commit.
        """
        ...

    @property
    def trouble(self) -> JournalError | None:
        """What an append would raise at this moment, where that is known; None when all is well."""
        ...


class Journal(Appender, Protocol):
    """An append-only sequence of mail. Sequences start at 1 and have no holes."""

    async def read(self, sequence: int) -> Mail:
        """Return the mail of this sequence, or raise MailGone."""
        ...

    async def stored(self, after: int, until: int, limit: int) -> Sequence[int]:
        """Return, in order, the first `limit` sequences in `after < sequence <= until` whose mail is here."""
        ...

    @property
    def last_sequence(self) -> int:
        """The sequence of the newest mail; 0 when there has been none."""
        ...

    async def consumer(self, name: str, *, own: bool = False) -> Consumer:
        """Return the durable consumer of this name; a new one starts after the mail that is there now.

        The nodes of a cluster share it, each getting a part of the events while it is active. With `own` each
        node has its own, which gets them all. The very first consumers of an empty journal so see everything.
        From here on retention waits for it.
        """
        ...

    async def dismiss(self, name: str) -> None:
        """Close a consumer. What it had is kept until it is asked for again; meanwhile it holds no mail."""
        ...

    async def forget(self, name: str) -> None:
        """Remove a consumer and all it had: position, retries, parked events."""
        ...

    async def trim(self) -> int:
        """Remove mail that is past the settings' age or size; return how much. Called now and then.

        Mail stays while a consumer that was asked for since the start has not acknowledged it (not yet
        fetched, claimed, waiting, parked). So ask for all consumers first; those left over from earlier
        settings hold nothing back. The newest mail stays in any case.
        """
        ...

    async def close(self) -> None:
        """Finish what is queued, take claims back, write positions down, release the files."""
        ...
