"""What is to be done with a claim, by its outcome, and when. Pure: `consumer.py` does it."""

import msgspec

from mailbell.sinks.base import Delivered, Outcome, Pause, Reject, Retry

DELAYS = (1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)
"""Seconds after the first, second, … try; the last one repeats."""

JITTER = 0.1
"""Up to this share is added, so that what failed together does not come back together."""


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


def next_delay(
    attempt: int, elapsed: float, retry_for: float, fraction: float, after: float | None = None
) -> float | None:
    """Return the seconds until the next try, or None when `retry_for` would be over by then.

    `attempt` counts from 1; `elapsed` are the seconds since the first; `fraction` in [0, 1) picks the jitter;
    `after` is a delay that the receiver asked for, in seconds.
    """
    delay = DELAYS[min(attempt, len(DELAYS)) - 1] if after is None else after
    delay *= 1 + JITTER * fraction
    return delay if elapsed + delay <= retry_for else None
