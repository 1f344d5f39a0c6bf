"""What passes between the session and the shell around it: events, options, hooks."""

from collections.abc import Callable
from typing import Literal

import msgspec

from mailbell.mail import Envelope
from mailbell.smtp.replies import Reply
from mailbell.smtp.sasl import Credentials


class StartTls(msgspec.Struct, frozen=True):
    """Send what there is to send, upgrade the connection, then call `tls_started`; on failure close."""


class MailComplete(msgspec.Struct, frozen=True):
    """The final dot (or BDAT LAST); answer with `reply` once the mail is stored or refused."""

    envelope: Envelope
    raw: bytes


class Close(msgspec.Struct, frozen=True):
    """Nothing more will come of this session. `reason` is a plain sentence for the transcript."""

    reason: str


Event = StartTls | Credentials | MailComplete | Close


class SessionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a session may do; the shell's slice of the I/O server's settings."""

    hostname: str = "mailbell"
    max_size: int = 25 * 2**20
    max_recipients: int = 100
    max_errors: int = 20
    max_command: int = 4096
    starttls: bool = False
    auth: Literal["off", "any", "required"] = "any"
    auth_plaintext: bool = False
    bare_lf: Literal["auto", "reject"] = "auto"


Said = str | bytes | Reply
"""What stands in a transcript; kept as it comes, for most are never looked at. `shown` makes text of it."""

Record = Callable[[str, Said], None]
"""The transcript: called with a mark (`<` in, `>` out, `=` state) and what was said.

Credentials are masked, content is shortened to its size; control characters are as they came.
"""


def shown(said: Said) -> tuple[str, ...]:
    """Return the lines of it, as text."""
    match said:
        case Reply():
            return said.lines
        case bytes():
            return (said.decode("utf-8", "backslashreplace"),)
    return (said,)


CheckSender = Callable[[str, int], Reply | None]
"""Called with address and declared size (0: none) of MAIL; a Reply refuses it."""

CheckRecipient = Callable[[str], Reply | None]
"""Called with the address of RCPT; a Reply refuses it."""

CheckData = Callable[[], Reply | None]
"""Called at DATA and at the first BDAT; a Reply refuses it."""
