"""What the shell says on its own account; the session's replies are in `smtp/replies.py`."""

from mailbell.errors import JournalError, JournalFull
from mailbell.smtp.replies import Reply

STOPPING = Reply(421, "4.3.2", "mailbell is shutting down; try again in a minute")
IDLE = Reply(421, "4.4.2", "Closing: nothing was said for too long; connect again when there is mail")
EVICTED = Reply(421, "4.4.2", "Closing this idle connection, for another client waits for its slot")
TURN = Reply(421, "4.3.2", "Closing, for another client has waited long for a slot; please connect again")
TOO_SLOW = Reply(421, "4.4.2", "Closing: the message took too long; check the network, or raise data_timeout")
NO_SLOT = Reply(421, "4.3.2", "Too many connections at once; try again later, or raise `threads`")
NOT_ALLOWED = Reply(554, "5.7.1", "This address may not connect; add its network to `allow`")
TOO_MANY = Reply(421, "4.7.0", "Too many connections from this address; close some, or raise max_per_source")
NOT_PROXIED = Reply(421, "4.3.2", "A PROXY header was expected; switch it on in the load balancer")
FULL = Reply(
    452, "4.3.1", "No room to store the message; free disk space on the mail server, then send again"
)
UNAVAILABLE = Reply(451, "4.3.0", "The message can't be stored; see the mail server's log, then send again")


def of(error: JournalError) -> Reply:
    """What a client is told of the journal's trouble."""
    return FULL if isinstance(error, JournalFull) else UNAVAILABLE
