"""Cooldown and dedupe: which of many like events go out. Pure: the time is handed in.

Both remember what they have let through, in memory and bounded: after a restart the first event of a kind
goes out again.
"""

import hashlib

from mailbell.event.schema import MailEvent
from mailbell.event.template import Template
from mailbell.newest import Newest
from mailbell.settings import CooldownSettings

REMEMBERED = 10_000
"""Kinds and fingerprints that are remembered; those forgotten first are the ones heard of longest ago."""


class Cooldown:
    """Lets the first event of a kind through and counts the rest of its window into the next one."""

    def __init__(self, settings: CooldownSettings) -> None:
        self._key = Template(settings.key)
        self._every = settings.every
        self._kinds: Newest[str, tuple[float, int]] = Newest(REMEMBERED)

    def admit(self, event: MailEvent, now: float) -> int | None:
        """None: suppressed. Else how many were suppressed since the last one that went out."""
        key = self._key.render(event)
        opened, count = self._kinds.get(key, (None, 0))
        if opened is not None and 0 <= now - opened < self._every:
            self._kinds[key] = opened, count + 1
            return None
        self._kinds[key] = now, 0
        return count


class Dedupe:
    """Tells whether the same mail has come within the window."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._seen: Newest[bytes, float] = Newest(REMEMBERED)

    def repeated(self, event: MailEvent, now: float) -> bool:
        """True for a mail that was let through less than the window ago."""
        key = fingerprint(event)
        seen = self._seen.get(key)
        if seen is not None and 0 <= now - seen < self._window:
            return True
        self._seen[key] = now
        return False


def fingerprint(event: MailEvent) -> bytes:
    """Source, recipients, subject and text without regard to case and space, and what is attached."""
    parts = (
        event.source.ip,
        *sorted(event.envelope.rcpt_to),
        _normal(event.subject or ""),
        _normal(event.text),
        *(each.sha256 for each in event.attachments),
    )
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).digest()


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())
