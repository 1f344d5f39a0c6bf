"""Replies: code, enhanced code (RFC 3463) and a text that tells a person what to do.

The texts of the session are all here. They are read in the logs of devices, by people who can change little
more than a server name, a user and a password.
"""

from functools import lru_cache

import msgspec


class Reply(msgspec.Struct, frozen=True):
    """One reply; a text with newlines becomes one of several lines.

    `enhanced` is empty where RFC 2034 §4 has none (greeting, EHLO, 334, 354).
    `lines` and `wire` follow from the others: the reply as a transcript shows it, and as it travels.
    """

    code: int
    enhanced: str
    text: str
    lines: tuple[str, ...] = ()
    wire: bytes = b""

    def __post_init__(self) -> None:
        if self.text.isascii() and self.text.isprintable() and self.enhanced:  # nearly always
            line = f"{self.code} {self.enhanced} {self.text}"
            msgspec.structs.force_setattr(self, "lines", (line,))
            msgspec.structs.force_setattr(self, "wire", f"{line}\r\n".encode())
            return
        lead = f"{self.enhanced} " if self.enhanced else ""
        # A text may come from the settings: a CR in it must not forge a line.
        *before, last = self.text.replace("\r", " ").split("\n")
        lines = (*[f"{self.code}-{lead}{line}" for line in before], f"{self.code} {lead}{last}")
        msgspec.structs.force_setattr(self, "lines", lines)
        msgspec.structs.force_setattr(self, "wire", ("\r\n".join(lines) + "\r\n").encode("utf-8", "replace"))


# Done
OK = Reply(250, "2.0.0", "OK")
BYE = Reply(221, "2.0.0", "Bye")
RESET = Reply(250, "2.0.0", "OK, begin again with MAIL FROM")
SENDER_OK = Reply(250, "2.1.0", "Sender OK")
RECIPIENT_OK = Reply(250, "2.1.5", "Recipient OK")
AUTHENTICATED = Reply(235, "2.7.0", "Authenticated")
TLS_READY = Reply(220, "2.0.0", "Ready to start TLS")
START_DATA = Reply(354, "", "Send the message, then a line with only a dot")
CHUNK_OK = Reply(250, "2.0.0", "Chunk OK, send the next one or BDAT 0 LAST")
VERIFY = Reply(252, "2.5.0", "Not verified, but mail to any address is taken here")
EXPAND = Reply(252, "2.5.0", "There are no mailing lists, but mail to any address is taken here")
HELP = Reply(
    214,
    "2.0.0",
    "This is mailbell: it turns each mail into an event\n"
    "Commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY EXPN HELP AUTH STARTTLS\n"
    "A mail is MAIL FROM:<sender>, RCPT TO:<recipient>, DATA, the message, a line with only a dot",
)

# Not understood
EMPTY = Reply(500, "5.5.2", "Empty line: send a command, such as NOOP or QUIT")
UNKNOWN = Reply(500, "5.5.1", "Unknown command: send HELP for the list")
OBSOLETE = Reply(502, "5.5.1", "This command is not offered: use MAIL, RCPT and DATA")
LINE_TOO_LONG = Reply(500, "5.5.2", "Command line too long: shorten it")
BARE_LF = Reply(500, "5.5.2", "Line ends in a bare LF: end each line with CR LF")
BARE_LF_DATA = Reply(550, "5.6.0", "Message has lines that end in a bare LF: end each line with CR LF")
NO_RECIPIENT = Reply(
    501, "5.1.3", "No recipient given: send RCPT TO:<name@example.com>; set a recipient in the device"
)
BAD_CHUNK = Reply(
    501, "5.5.4", "Chunk size not understood: send BDAT <octets> [LAST]; closing, as content may follow"
)
NOT_SMTP = Reply(421, "4.7.0", "This is a mail server (SMTP), not a web server: check address and port")
TLS_UNEXPECTED = Reply(
    421, "4.7.0", "This port speaks SMTP without TLS: set the device's encryption to none or STARTTLS"
)

# Out of order
OUT_OF_ORDER = Reply(503, "5.5.1", "Command out of order: send RSET, then MAIL FROM")
NEED_MAIL = Reply(503, "5.5.1", "No sender yet: send MAIL FROM:<sender> first")
NEED_RCPT = Reply(503, "5.5.1", "No recipient yet: send RCPT TO:<recipient> first")
NESTED_MAIL = Reply(
    503, "5.5.1", "A mail is already under way: finish it with RCPT and DATA, or send RSET first"
)
MAIL_UNDER_WAY = Reply(503, "5.5.1", "A mail is under way: finish it, or send RSET first")
NEED_CHUNK = Reply(
    503, "5.5.1", "Chunks are under way: go on with BDAT, end with BDAT 0 LAST, or send RSET first"
)

# Limits
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients: send the mail to the others separately")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors: check the device's mail settings, then connect again")
SENT_AHEAD = Reply(421, "4.7.0", "Too much sent without waiting for replies: wait for each reply")

# TLS and authentication
TLS_OFF = Reply(502, "5.5.1", "TLS is switched off on this port: set the device's encryption to none")
TLS_ALREADY = Reply(503, "5.5.1", "TLS is already on: go on with EHLO")
AUTH_OFF = Reply(502, "5.5.1", "Authentication is switched off here: clear user and password in the device")
AUTH_ALREADY = Reply(503, "5.5.1", "Already authenticated: go on with MAIL FROM")
AUTH_NEEDS_TLS = Reply(538, "5.7.11", "Authentication needs TLS: switch on STARTTLS or TLS in the device")
AUTH_REQUIRED = Reply(530, "5.7.0", "Authentication required: set user and password in the device")
AUTH_REQUIRED_TLS = Reply(
    530, "5.7.0", "Authentication required, under TLS: set encryption, user and password in the device"
)
AUTH_UNKNOWN = Reply(504, "5.5.4", "Authentication method not offered: use PLAIN or LOGIN")
AUTH_CANCELLED = Reply(501, "5.7.0", "Authentication cancelled")
AUTH_MALFORMED = Reply(501, "5.5.2", "Credentials not understood: they must be in base64, as RFC 4954 says")
AUTH_FAILED = Reply(535, "5.7.8", "User or password wrong: check both in the device")
AUTH_NO_PASSWORD = Reply(535, "5.7.8", "Password is empty: set user and password in the device")


@lru_cache(maxsize=64)
def greeting(hostname: str) -> Reply:
    """RFC 5321 §4.2: the greeting names the host; old clients look for ESMTP in it before they send EHLO."""
    return Reply(220, "", f"{hostname} ESMTP mailbell")


@lru_cache(maxsize=64)
def hello(hostname: str) -> Reply:
    """The reply to HELO; RFC 2034 §4 gives it no enhanced code."""
    return Reply(250, "", hostname)


@lru_cache(maxsize=256)
def extended_hello(hostname: str, max_size: int, starttls: bool, mechanisms: tuple[str, ...]) -> Reply:
    """The reply to EHLO: host name and extensions, a line each."""
    lines = [
        hostname,
        "PIPELINING",
        f"SIZE {max_size}",
        "8BITMIME",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
        "CHUNKING",
    ]
    if starttls:
        lines.append("STARTTLS")
    if mechanisms:
        offered = " ".join(mechanisms)
        # The second form is that of the draft before RFC 2554: some old devices know no other.
        lines += [f"AUTH {offered}", f"AUTH={offered}"]
    return Reply(250, "", "\n".join([*lines, "HELP"]))


@lru_cache(maxsize=64)
def too_large(max_size: int) -> Reply:
    """RFC 1870 §6.1: the message, as declared or as it came, is over the limit."""
    return Reply(
        552, "5.3.4", f"Message too large: at most {max_size} octets are taken, send smaller attachments"
    )


def challenge(text: str) -> Reply:
    """RFC 4954 §4: a server challenge, in base64."""
    return Reply(334, "", text)
