"""Transcripts: the last connections, line by line, and a plain sentence why each ended.

Kept in memory. They are what an integrator reads when a device just says *failed*.
"""

from collections import deque
from collections.abc import Iterator
from operator import attrgetter

import msgspec

from mailbell.clock import Clock
from mailbell.minutes import Minutes

KEEP_CONNECTIONS = 200
"""Of those that brought mail, and as many of those that brought none: the busy don't hide the failing."""

KEEP_LINES = 200
KEEP_TEXT = 500
"""Of one connection, and of one line: a device that stays for a year, or talks rubbish, fills no memory."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """A line of a dialogue: seconds since its begin, `<` in, `>` out or `=` state, and the text."""

    at: float
    mark: str
    text: str


class Transcript:
    """What was said on one connection."""

    __slots__ = (
        "_began",
        "_clock",
        "ended_at",
        "id",
        "ioserver",
        "ip",
        "lines",
        "mails",
        "outcome",
        "port",
        "said",
        "started_at",
        "tls",
    )

    def __init__(self, id_: int, ioserver: str, ip: str, port: int, clock: Clock) -> None:
        self.id = id_
        self.ioserver = ioserver
        self.ip = ip
        self.port = port
        self.started_at = clock.time()
        self.ended_at: float | None = None
        self.tls = ""
        self.mails = 0
        self.outcome = ""
        self.lines: deque[Line] = deque(maxlen=KEEP_LINES)
        self.said = 0
        self._clock = clock
        self._began = clock.monotonic()

    def record(self, mark: str, text: str) -> None:
        """Write a line down. Control characters are as they came: who shows it has to escape them."""
        self.said += 1
        if len(text) > KEEP_TEXT:
            text = text[:KEEP_TEXT] + "…"
        self.lines.append(Line(self._clock.monotonic() - self._began, mark, text))

    @property
    def left_out(self) -> int:
        """How many of the first lines are no longer here."""
        return self.said - len(self.lines)

    @property
    def failed(self) -> bool:
        """True when the connection ended and no mail was taken on it."""
        return self.ended_at is not None and self.mails == 0


class Transcripts:
    """The last connections, ended and open."""

    def __init__(self, clock: Clock, keep: int = KEEP_CONNECTIONS) -> None:
        self._clock = clock
        self._failed: deque[Transcript] = deque(maxlen=keep)
        self._good: deque[Transcript] = deque(maxlen=keep)
        self._open: dict[int, Transcript] = {}
        self._next = 1
        self.refused = Minutes()
        """Connections that brought no mail."""

    def begin(self, ioserver: str, ip: str, port: int) -> Transcript:
        """Open a transcript for a new connection."""
        transcript = Transcript(self._next, ioserver, ip, port, self._clock)
        self._open[transcript.id] = transcript
        self._next += 1
        return transcript

    def end(self, transcript: Transcript, outcome: str) -> None:
        """Close it, with the sentence why the connection ended."""
        transcript.ended_at = self._clock.time()
        transcript.outcome = outcome
        (self._failed if transcript.failed else self._good).append(transcript)
        if transcript.failed:
            self.refused.add(self._clock.monotonic())
        self._open.pop(transcript.id, None)

    def __iter__(self) -> Iterator[Transcript]:
        """All of them, newest first."""
        yield from sorted(
            [*self._open.values(), *self._failed, *self._good], key=attrgetter("id"), reverse=True
        )

    def get(self, id_: int) -> Transcript | None:
        """The transcript with this number, if it is still kept."""
        return next((transcript for transcript in self if transcript.id == id_), None)
