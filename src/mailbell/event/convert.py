"""`convert`: the one door from a Mail to its event."""

import msgspec

from mailbell.event.schema import MailEvent
from mailbell.mail import Mail


class ConvertOptions(msgspec.Struct, frozen=True):
    """What an I/O server's settings say about conversion."""

    rawbody: bool = False
    charset: str = "latin-1"


class Converted:
    """A mail and everything derived from it, in the forms that sinks ask for."""

    mail: Mail
    event: MailEvent

    @property
    def value(self) -> str:
        """The HSYCO form: the value of the `mail` data point, compact JSON (spec/hsyco-smtpserver.md)."""
        raise NotImplementedError

    @property
    def json(self) -> bytes:
        """The full form as JSON, encoded once."""
        raise NotImplementedError

    def attachment(self, index: int) -> bytes:
        """The decoded octets of the attachment with this index."""
        raise NotImplementedError


def convert(mail: Mail, options: ConvertOptions) -> Converted:
    """Turn a mail into its event. Total: any octets give an event, in time linear in their number; pure."""
    raise NotImplementedError
