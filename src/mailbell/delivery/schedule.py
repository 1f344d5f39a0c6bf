"""What is to be done with a claim, by its outcome. Pure: `consumer.py` does it."""

import msgspec

from mailbell.delivery.backoff import next_attempt
from mailbell.journal.base import Claim
from mailbell.sinks.base import Delivered, Outcome, Pause, Reject, Retry


class Settle(msgspec.Struct, frozen=True):
    """It is delivered."""


class Again(msgspec.Struct, frozen=True):
    """It is tried again at this wall-clock second."""

    at: float
    reason: str


class Park(msgspec.Struct, frozen=True):
    """It is given up, and kept."""

    reason: str


class Hold(msgspec.Struct, frozen=True):
    """It goes back uncounted, and the sink is paused."""

    reason: str


Step = Settle | Again | Park | Hold


def decide(outcome: Outcome, claim: Claim, now: float, retry_for: float, fraction: float) -> Step:
    """`now` is by the wall clock; `fraction` in [0, 1) picks the jitter."""
    match outcome:
        case Delivered():
            return Settle()
        case Reject(reason):
            return Park(reason)
        case Pause(reason):
            return Hold(reason)
        case Retry(reason, after):
            first = now if claim.first_attempt_at is None else claim.first_attempt_at
            at = next_attempt(claim.attempt, first, now, retry_for, fraction, after)
            return (
                Park(f"given up after {claim.attempt} tries: {reason}") if at is None else Again(at, reason)
            )
