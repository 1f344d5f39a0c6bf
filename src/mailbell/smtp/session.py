"""The session: one SMTP connection as a machine without I/O.

The shell around it does four things, in this order, whenever octets arrive:

1. `receive(data)`: give octets from the wire. Never raises.
2. `events()`: take what happened. If one of them waits for an answer (StartTls, Credentials, MailComplete), the session
   reads no further until it has it; octets that arrive meanwhile are kept.
3. `reply(...)`, `credentials_checked(...)` or `tls_started(...)`: give the answer; then go to 2, for the session resumes.
4. `data_to_send()`: take octets for the wire, b"" when there are none.

A Close event is the last: send what there is to send, then close the connection.
"""

from collections.abc import Callable

import msgspec

from mailbell.mail import Envelope, Tls
from mailbell.smtp.replies import Reply


class StartTls(msgspec.Struct, frozen=True):
    """Send what there is to send, upgrade the connection, then call `tls_started`; on failure close."""


class Credentials(msgspec.Struct, frozen=True):
    """The client has authenticated; answer with `credentials_checked(accepted)`.

    For CRAM-MD5 (RFC 2195) `challenge` and `digest` are given and `password` is None.
    """

    mechanism: str
    user: str
    password: str | None
    challenge: bytes | None = None
    digest: str | None = None


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
    auth: str = "any"
    auth_plaintext: bool = False
    bare_lf: str = "auto"


Record = Callable[[str, str], None]
"""Called with a mark (`<` in, `>` out, `=` state) and a line, credentials masked and data shortened: the transcript."""
