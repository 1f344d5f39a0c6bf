"""Transcripts: the last connections, line by line, and a plain sentence why each ended.

Kept in memory. They are what an integrator reads when a device just says *failed*.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from operator import attrgetter

from mailbell.clock import Clock
from mailbell.minutes import Minutes
from mailbell.reception import Counts, Line, Session
from mailbell.smtp.events import Said, shown
from mailbell.smtp.replies import Reply

KEEP_CONNECTIONS = 200
"""Of those that brought mail, and as many of those that brought none: the busy don't hide the failing."""

KEEP_LINES = 200
KEEP_TEXT = 500
"""Of one connection, commands and replies; and of one line.

A device that stays for a year, or talks rubbish, fills no memory.
"""


class Transcript:
    """What was said on one connection."""

    __slots__ = (
        "_began",
        "_counts",
        "_entries",
        "_now",
        "ended_at",
        "id",
        "ioserver",
        "ip",
        "mails",
        "outcome",
        "port",
        "recorded",
        "started_at",
        "tls",
    )

    def __init__(self, id_: int, ioserver: str, ip: str, port: int, clock: Clock, counts: Counts) -> None:
        """`counts`: those of the I/O server, to which it adds what it sees."""
        self.id = id_
        self.ioserver = ioserver
        self.ip = ip
        self.port = port
        self.started_at = clock.time()
        self.ended_at: float | None = None
        self.tls = ""
        self.mails = 0
        self.outcome = ""
        self.recorded = 0
        self._counts = counts
        self._entries: deque[tuple[float, str, Said]] = deque(maxlen=KEEP_LINES)
        self._now = clock.monotonic
        self._began = clock.monotonic()

    def record(self, mark: str, said: Said) -> None:
        """Write it down. Control characters are as they came: who shows it has to escape them."""
        self.recorded += 1
        if isinstance(said, (bytes, str)):  # asked first: to ask whether it is a Struct takes 0.2 µs
            if len(said) > KEEP_TEXT:
                said = shown(said[:KEEP_TEXT])[0] + "…"
        elif said.code >= 400:
            self._counts.refusals[said.code] = self._counts.refusals.get(said.code, 0) + 1
        self._entries.append((self._now(), mark, said))

    def took(self, octets: int) -> None:
        """A mail was taken."""
        self.mails += 1
        self._counts.mails += 1
        self._counts.octets += octets

    @property
    def lines(self) -> list[Line]:
        """What was said, line by line."""
        return [
            Line(at - self._began, mark, text) for at, mark, said in self._entries for text in shown(said)
        ]

    @property
    def left_out(self) -> int:
        """How many of the first commands and replies are no longer here."""
        return self.recorded - len(self._entries)

    @property
    def failed(self) -> bool:
        """True when the connection ended and no mail was taken on it."""
        return self.ended_at is not None and self.mails == 0

    @property
    def refusal(self) -> str | None:
        """The last reply that refused something."""
        said = (each for _, _, each in reversed(self._entries))
        found = next((each for each in said if isinstance(each, Reply) and each.code >= 400), None)
        return None if found is None else shown(found)[0]

    def session(self, *, whole: bool) -> Session:
        """What there is to tell of the connection; `whole`: with its lines."""
        return Session(
            id=self.id,
            ioserver=self.ioserver,
            ip=self.ip,
            port=self.port,
            started_at=self.started_at,
            ended_at=self.ended_at,
            tls=self.tls,
            mails=self.mails,
            failed=self.failed,
            outcome=self.outcome,
            refusal=self.refusal if self.failed else None,
            left_out=self.left_out if whole else 0,
            lines=self.lines if whole else None,
        )


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
        self.counts: defaultdict[str, Counts] = defaultdict(Counts)
        """By I/O server."""

    def begin(self, ioserver: str, ip: str, port: int) -> Transcript:
        """Open a transcript for a new connection."""
        transcript = Transcript(self._next, ioserver, ip, port, self._clock, self.counts[ioserver])
        self._open[transcript.id] = transcript
        self._next += 1
        return transcript

    def end(self, transcript: Transcript, outcome: str) -> None:
        """Close it, with the sentence why the connection ended."""
        transcript.ended_at = self._clock.time()
        transcript.outcome = outcome
        self._open.pop(transcript.id, None)
        counts = self.counts[transcript.ioserver]
        if not transcript.failed:
            self._good.append(transcript)
            counts.with_mail += 1
            return
        self._failed.append(transcript)
        self.refused.add(self._clock.monotonic())
        if transcript.refusal is None:
            counts.without += 1
        else:
            counts.refused += 1

    def __iter__(self) -> Iterator[Transcript]:
        """All of them, newest first."""
        yield from sorted(
            [*self._open.values(), *self._failed, *self._good], key=attrgetter("id"), reverse=True
        )

    def get(self, id_: int) -> Transcript | None:
        """The transcript with this number, if it is still kept."""
        return next((transcript for transcript in self if transcript.id == id_), None)
