"""For the tests of programs that send mail: `Mailbell`, a server in the test's own process."""

from mailbell.errors import NotReceived
from mailbell.testing.server import Mailbell

__all__ = ["Mailbell", "NotReceived"]
