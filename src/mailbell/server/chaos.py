"""Failures on purpose: refusals, delays and cut lines, at the odds that the settings give."""

import random
from collections.abc import Callable

from mailbell.settings import ChaosRule, ChaosSettings
from mailbell.smtp.replies import Reply


class Chaos:
    """Rolls the dice. `settings` may be changed while it runs."""

    def __init__(self, settings: ChaosSettings, dice: Callable[[], float] = random.random) -> None:
        self.settings = settings
        self._dice = dice

    def sender(self) -> Reply | None:
        """A refusal of MAIL, or None."""
        return self._refusal(self.settings.sender, "sender")

    def recipient(self) -> Reply | None:
        """A refusal of RCPT, or None."""
        return self._refusal(self.settings.recipient, "recipient")

    def authentication(self) -> Reply | None:
        """A refusal of AUTH, or None."""
        return self._refusal(self.settings.authentication, "authentication")

    def data(self) -> Reply | None:
        """A refusal of the message, or None."""
        return self._refusal(self.settings.data, "message")

    def drop(self) -> bool:
        """Is the line to be cut?"""
        return self._dice() < self.settings.drop

    def _refusal(self, rule: ChaosRule, what: str) -> Reply | None:
        if self._dice() >= rule.probability:
            return None
        return Reply(rule.code, f"{rule.code // 100}.0.0", f"Chaos: this {what} is refused on purpose")
