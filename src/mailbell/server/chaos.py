"""Failures on purpose: refusals, delays and cut lines, at the odds that the settings give."""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Literal

from mailbell.settings import ChaosRule, ChaosSettings
from mailbell.smtp.replies import Reply

Command = Literal["MAIL", "RCPT", "AUTH", "DATA"]
_KINDS = {"MAIL": "sender", "RCPT": "recipient", "AUTH": "authentication", "DATA": "message"}

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
        self._planned: defaultdict[str, deque[Reply]] = defaultdict(deque)

    def plan(self, command: Command, code: int, times: int = 1) -> None:
        """Refuse the next `times` of these; DATA is the message. ValueError when `code` is no refusal."""
        if not 400 <= code <= 599:
            raise ValueError(f"expected the code of a refusal, 400 to 599, got {code}")
        kind = _KINDS[command]
        self._planned[kind].extend([_reply(code, kind)] * times)

    def forget(self) -> None:
        """Let go of what is planned."""
        self._planned.clear()

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
        return self.settings != CALM or "message" in self._planned

    async def before_storing(self) -> None:
        """Return, late, when the message is to be stored; else raise Refused or Dropped."""
        await asyncio.sleep(self.settings.latency)
        if self._dice() < self.settings.drop:
            raise Dropped
        refusal = self._refusal(self.settings.data, "message")
        if refusal is not None:
            raise Refused(refusal)

    def _refusal(self, rule: ChaosRule, what: str) -> Reply | None:
        if planned := self._planned[what]:
            return planned.popleft()
        return None if self._dice() >= rule.probability else _reply(rule.code, what)


def _reply(code: int, what: str) -> Reply:
    return Reply(code, f"{code // 100}.0.0", f"Chaos: this {what} is refused on purpose")
