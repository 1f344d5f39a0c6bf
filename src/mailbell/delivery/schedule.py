"""What is to be done with a claim, by its outcome. Pure: `consumer.py` does it."""

import msgspec

from mailbell.delivery.backoff import next_delay
from mailbell.sinks.base import Delivered, Outcome, Pause, Reject, Retry


class Settle(msgspec.Struct, frozen=True):
    """It is delivered."""


class Again(msgspec.Struct, frozen=True):
    """It is tried again after so many seconds."""

    delay: float
    reason: str


class Park(msgspec.Struct, frozen=True):
    """It is given up, and kept."""

    reason: str


class Hold(msgspec.Struct, frozen=True):
    """It goes back uncounted, and the sink is paused."""

    reason: str


Step = Settle | Again | Park | Hold


def decide(outcome: Outcome, attempt: int, elapsed: float, retry_for: float, fraction: float) -> Step:
    """The step after the try of this number, `elapsed` seconds after the first; `fraction` is the jitter."""
    match outcome:
        case Delivered():
            return Settle()
        case Reject(reason):
            return Park(reason)
        case Pause(reason):
            return Hold(reason)
        case Retry(reason, after):
            delay = next_delay(attempt, elapsed, retry_for, fraction, after)
            return (
                Park(f"given up after {attempt} tries: {reason}") if delay is None else Again(delay, reason)
            )
