"""A mail that a client sends again, because it got no answer, is to be one mail; also on another node.

The stream drops a message whose id it has had in the last two minutes. So a mail gets an id that is made of
what it is: whoever sends, to whom, every octet. But a device may well send the same octets twice and mean it
(no Date, the same text for each alarm), and then there have to be two events. The difference is the answer:
what got its 250 is not sent again. So each node tells the others what it has answered, and such a mail gets
an id of its own. Where a node may have missed that (just started, or cut off), it takes no chance: twice is
better than not at all.
"""

import hashlib
from collections import OrderedDict

from mailbell.clock import Clock
from mailbell.journal.stream import DUPLICATE_WINDOW
from mailbell.mail import Mail

MOST = 100_000
"""Answers remembered at most."""


def fingerprint(mail: Mail) -> str:
    """What makes two transmissions the same: the client, the envelope and every octet."""
    digest = hashlib.blake2b(mail.raw, digest_size=16)
    for each in (mail.ioserver, mail.source.ip, mail.envelope.mail_from, *mail.envelope.rcpt_to):
        digest.update(b"\0" + each.encode(errors="surrogatepass"))
    return digest.hexdigest()


class Repeats:
    """Chooses the message ids."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answered: OrderedDict[str, float] = OrderedDict()
        self._unanswered: dict[str, str] = {}
        self._under_way: set[str] = set()
        self._sure_from = 0.0
        self.missed()

    def __repr__(self) -> str:
        return f"<Repeats, {len(self._answered)} answered>"

    def missed(self) -> None:
        """Others may have answered what we have not heard of."""
        self._sure_from = self._clock.monotonic() + DUPLICATE_WINDOW

    def begin(self, mail: Mail) -> tuple[str, str]:
        """The mail's fingerprint, and the id to store it under; `stored` or `failed` has to follow."""
        print_ = fingerprint(mail)
        left = self._unanswered.pop(print_, None)
        if left is not None:
            chosen = left
        elif print_ in self._under_way or self._is_answered(print_) or self._is_unsure():
            chosen = mail.id
        else:
            chosen = print_
        self._under_way.add(print_)
        return print_, chosen

    def stored(self, print_: str) -> None:
        """It is in the stream, and is about to be answered."""
        self._under_way.discard(print_)
        self.answered(print_)

    def failed(self, print_: str, chosen: str) -> None:
        """The client is going to send it again; it may be in the stream all the same."""
        self._under_way.discard(print_)
        self._unanswered[print_] = chosen
        while len(self._unanswered) > MOST:
            del self._unanswered[next(iter(self._unanswered))]

    def answered(self, print_: str) -> None:
        """A node has answered this."""
        now = self._clock.monotonic()
        self._answered.pop(print_, None)
        self._answered[print_] = now
        while self._answered and (
            len(self._answered) > MOST or next(iter(self._answered.values())) < now - DUPLICATE_WINDOW
        ):
            self._answered.popitem(last=False)

    def _is_answered(self, print_: str) -> bool:
        at = self._answered.get(print_)
        return at is not None and self._clock.monotonic() <= at + DUPLICATE_WINDOW

    def _is_unsure(self) -> bool:
        return self._clock.monotonic() < self._sure_from
