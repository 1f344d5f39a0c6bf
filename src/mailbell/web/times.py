"""Times as the API writes them."""

from datetime import UTC, datetime


def moment(milliseconds: int) -> str:
    """RFC 3339, in UTC."""
    at = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"


def moment_of(seconds: float) -> str:
    """The same, from seconds since the epoch."""
    return moment(int(seconds * 1000))
