"""Content: what follows DATA up to the final dot, or the chunks of BDAT, held in bounded memory.

Theory of operation. A message ends at `<CRLF>.<CRLF>`, and a dot that starts a line is taken off it (RFC 5321
§4.5.2). Both begin with `<CRLF>.`, so one search serves both; and most chunks of a big message, being base64,
have no dot at all, which the fastest search there is (memchr) finds out. What may be the beginning of a
terminator at the end of a chunk is carried into the next; nothing is searched twice, so tiny chunks cost no
more than their number. The start of the content counts as the start of a line: that is a carried line end
which never becomes content.
"""

import re
from io import BytesIO
from typing import NamedTuple


class LineEnd(NamedTuple):
    """What ends a line, and so a message, in this session."""

    dot: bytes
    line: bytes
    end: re.Pattern[bytes] | bytes
    carries: tuple[bytes, ...]


CRLF = LineEnd(b"\r\n.", b"\r\n", b"\r\n.\r\n", (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r"))
"""The rule. Bare LF and CR are content, or `LF.LF` in a relayed mail could smuggle in a second one."""

LF = LineEnd(b"\n.", b"\n", re.compile(rb"\n\.\r?\n"), (b"\n.\r", b"\n.", b"\n"))
"""For a device whose commands end in LF. Its content may yet have CRLF: `.CRLF` ends it as well."""


class Store:
    """Octets up to a limit; all is dropped once there are more."""

    __slots__ = ("_limit", "_octets", "excessive", "received", "size")

    def __init__(self, limit: int) -> None:
        self._octets = BytesIO()
        self._limit = limit
        self.size = 0
        self.received = 0
        self.excessive = False

    def write(self, octets: bytes) -> None:
        """Add to the end."""
        self.received += len(octets)
        if self.received <= self._limit:
            self._octets.write(octets)
            self.size = self.received
        elif not self.excessive:
            self.excessive = True
            self.size = 0
            self._octets = BytesIO()

    def take(self) -> bytes:
        """Return everything, without a copy (BytesIO hands out its own bytes object)."""
        return self._octets.getvalue()


class DotReader:
    """Reads the content of DATA into a store, up to the terminator."""

    __slots__ = ("_carry", "_end", "_lead", "_store", "done")

    def __init__(self, store: Store, end: LineEnd) -> None:
        self._store = store
        self._end = end
        self._carry = end.line
        self._lead = len(end.line)
        self.done = False

    def read(self, data: bytes, at: int) -> int:
        """Take content from `data[at:]`; return where it ends: with data, or behind the terminator (done)."""
        piece = self._carry + data[at:] if at or self._carry else data
        dot = piece.find(b".")
        if dot >= 0:
            dot = piece.find(self._end.dot, max(0, dot - 2))
        if dot >= 0:
            start, stop = self._terminator(piece, dot)
            if stop:
                self.done = True
                content = piece[:start]
                is_first = start == dot + len(self._end.line)
                self._keep(content if is_first else content.replace(self._end.dot, self._end.line))
                return len(data) - len(piece) + stop
        held = self._held(piece)
        self._carry = piece[len(piece) - held :]
        if held < len(piece):
            content = piece[: len(piece) - held] if held else piece
            self._keep(content.replace(self._end.dot, self._end.line) if dot >= 0 else content)
        return len(data)

    @property
    def received(self) -> int:
        """How many octets of content have come, with those that may yet turn out to be the terminator."""
        return self._store.received + len(self._carry) - self._lead

    def _terminator(self, piece: bytes, dot: int) -> tuple[int, int]:
        """Where the terminator's own line starts, and where it ends; (0, 0) when there is none."""
        end = self._end.end
        if isinstance(end, bytes):
            found = piece.find(end, dot)
            return (found + len(self._end.line), found + len(end)) if found >= 0 else (0, 0)
        match = end.search(piece, dot)
        return (match.start() + len(self._end.line), match.end()) if match else (0, 0)

    def _held(self, piece: bytes) -> int:
        """How many octets at the end may be the beginning of a terminator."""
        if not piece.endswith(self._end.carries):
            return 0
        return next(len(carry) for carry in self._end.carries if piece.endswith(carry))

    def _keep(self, content: bytes) -> None:
        if self._lead:
            content = content[self._lead :]
            self._lead = 0
        self._store.write(content)
