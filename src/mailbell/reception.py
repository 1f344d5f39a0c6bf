"""The receiving half of the program as the other half sees it: here, or in another process.

What comes of it are plain structs: they travel.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from mailbell.histogram import Histogram
from mailbell.settings import ChaosRule, ChaosSettings


class Counts(msgspec.Struct, kw_only=True):
    """What an I/O server has done since the start.

    `mails` were taken, of so many `octets`. Connections that have ended: `with_mail` brought some, `refused`
    brought none and were refused something, `without` just went. `refusals`: replies of 400 and up, by code.
    """

    mails: int = 0
    octets: int = 0
    with_mail: int = 0
    refused: int = 0
    without: int = 0
    refusals: dict[int, int] = {}


class IoServerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An I/O server; `listening` is for people; `served` of `slots`, and `waiting`, are connections."""

    id: str
    listening: list[str]
    port: int
    slots: int
    served: int
    waiting: int
    counts: Counts


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Of the receiving process: its number, and how long mails took from append to commit."""

    process: int
    appends: Histogram


class Line(msgspec.Struct, frozen=True, gc=False):
    """A line of a dialogue: seconds since its begin, `<` in, `>` out or `=` state, and the text."""

    at: float
    mark: str
    text: str


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An SMTP connection; times are seconds since the epoch, `ended_at` is None while it is open.

    `failed`: it ended, and no mail was taken on it. `refusal`: the last reply to it that refused something,
    for who says QUIT has often been refused before. `left_out` and `lines` come with one that is asked for.
    """

    id: int
    ioserver: str
    ip: str
    port: int
    started_at: float
    ended_at: float | None
    tls: str
    mails: int
    failed: bool
    outcome: str
    refusal: str | None = None
    left_out: int = 0
    lines: Sequence[Line] | None = None


class Reception(Protocol):
    """Questions and wishes to the receiving half."""

    async def ioservers(self) -> Sequence[IoServerStatus]:
        """How each I/O server is doing."""
        ...

    async def figures(self) -> Figures:
        """What there is to measure of the process."""
        ...

    async def trouble(self) -> str | None:
        """Why no mail is taken at present; None: it is."""
        ...

    async def ha_active(self, active: bool) -> None:
        """This node has become the active one, or no longer is: some I/O servers open or close with that."""
        ...

    async def sessions(self, limit: int, *, failed: bool) -> Sequence[Session]:
        """The last connections without lines, newest first; `failed`: those only that brought no mail."""
        ...

    async def session(self, number: int) -> Session | None:
        """One with its lines, if it is still kept."""
        ...

    async def refused(self) -> list[int]:
        """Connections that brought no mail, in each minute of the last hour, oldest first."""
        ...

    async def chaos(self) -> ChaosSettings:
        """The failures on purpose at present."""
        ...

    async def set_chaos(self, rules: dict[str, ChaosRule]) -> None:
        """Change these of them, on every I/O server, until the next start."""
        ...
