"""Mail received or read not long ago, so that consumers at the live end cost no reading."""

from collections.abc import Iterable

from mailbell.mail import Mail

OVERHEAD = 1024
"""Octets that a mail takes besides its own."""


class Recent:
    """Mails by sequence, up to a number of octets; those kept longest go first."""

    def __init__(self, octets: int) -> None:
        """Keep up to so many octets."""
        self._room = octets
        self._mails: dict[int, Mail] = {}

    def get(self, sequence: int) -> Mail | None:
        """Return the mail, if it is there."""
        return self._mails.get(sequence)

    def add(self, sequence: int, mail: Mail) -> None:
        """Keep this one."""
        if sequence not in self._mails:
            self._mails[sequence] = mail
            self._room -= len(mail.raw) + OVERHEAD
        while self._room < 0:
            self.drop([next(iter(self._mails))])

    def drop(self, sequences: Iterable[int]) -> None:
        """Let go of these."""
        for sequence in sequences:
            mail = self._mails.pop(sequence, None)
            if mail is not None:
                self._room += len(mail.raw) + OVERHEAD
