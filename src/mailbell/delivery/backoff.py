"""When a failed delivery is tried again. Pure."""

DELAYS = (1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)
"""Seconds after the first, second, … try; the last one repeats."""

JITTER = 0.1
"""Up to this share is added, so that what failed together does not come back together."""


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
