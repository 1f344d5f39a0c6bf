"""Failures on purpose: refusals, delays and cut lines, at the odds that the settings give."""

import asyncio
import random
from collections.abc import Callable

from mailbell.settings import ChaosRule, ChaosSettings
from mailbell.smtp.replies import Reply

CALM = ChaosSettings()


class Refused(Exception):
    """The message is refused on purpose."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


class Dropped(Exception):
    """The line is cut on purpose."""


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

    @property
    def reigns(self) -> bool:
        """Is anything to fail or to be late?"""
        return self.settings != CALM

    async def before_storing(self) -> None:
        """Return, late, when the message is to be stored; else raise Refused or Dropped."""
        await asyncio.sleep(self.settings.latency)
        if self._dice() < self.settings.drop:
            raise Dropped
        refusal = self._refusal(self.settings.data, "message")
        if refusal is not None:
            raise Refused(refusal)

    def _refusal(self, rule: ChaosRule, what: str) -> Reply | None:
        if self._dice() >= rule.probability:
            return None
        return Reply(rule.code, f"{rule.code // 100}.0.0", f"Chaos: this {what} is refused on purpose")
