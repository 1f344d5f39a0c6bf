"""Keeping secrets out of what is said: the words of a receiver or a library end up in the log."""

from collections.abc import Iterable

LONGEST = 200
SHORTEST = 4
"""A secret of fewer characters than this is not one, and may be part of any word."""


class Mask:
    """Makes a library's or a receiver's words fit for the log: the secrets masked, and cut."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted({each for each in secrets if len(each) >= SHORTEST}, key=len, reverse=True)

    def __repr__(self) -> str:
        return f"<Mask of {len(self._secrets)}>"

    def __call__(self, words: object) -> str:
        text = str(words)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
