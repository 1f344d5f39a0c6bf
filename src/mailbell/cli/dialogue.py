"""The client side of `mailbell send`: compose a mail, deliver it, and explain what went wrong."""

import mimetypes
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Any

import msgspec

from mailbell.errors import MailbellError

Tell = Callable[[str], None]


def compose(
    sender: str, recipients: Sequence[str], subject: str, body: str, attachments: Sequence[Path]
) -> bytes:
    """Make the message; ValueError for a line break in a header field."""
    addresses = (sender, *recipients)
    message = EmailMessage(SMTP if all(each.isascii() for each in addresses) else SMTPUTF8)
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Subject"] = subject
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(domain=socket.gethostname())
    message.set_content(body)
    for path in attachments:
        main, _, sub = (mimetypes.guess_type(path.name)[0] or "application/octet-stream").partition("/")
        if main in {"message", "multipart"}:  # these must not be base64 (RFC 2045 §6.4)
            main, sub = "application", "octet-stream"
        message.add_attachment(path.read_bytes(), maintype=main, subtype=sub, filename=path.name)
    return message.as_bytes()


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How to get a message to a listener. `tell` is given each line: `>` sent, `<` received."""

    host: str
    port: int
    tls: str
    verify: bool
    credentials: tuple[str, str] | None
    timeout: float
    tell: Tell

    def send(self, sender: str, recipients: Sequence[str], message: bytes) -> str:
        """Deliver, and return the last reply; MailbellError says what the server refused, and the remedy."""
        with self._explained(), self._connect() as client:
            client.ehlo_or_helo_if_needed()
            if self.tls == "starttls":
                client.starttls(context=self._tls_context())
                client.ehlo()
            if self.credentials:
                client.login(*self.credentials)
            addresses = (sender, *recipients)
            options = [] if all(each.isascii() for each in addresses) else ["SMTPUTF8", "BODY=8BITMIME"]
            self._expect(client.mail(sender, options), f"MAIL FROM:<{sender}>")
            for each in recipients:
                self._expect(client.rcpt(each), f"RCPT TO:<{each}>")
            return self._expect(client.data(message), "the message")

    @property
    def server(self) -> str:
        """The address for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def _connect(self) -> "_Client":
        kind: type[_Client] = _TlsClient if self.tls == "implicit" else _Client
        options = {"context": self._tls_context()} if self.tls == "implicit" else {}
        name = socket.gethostname()  # smtplib's own getfqdn() may wait for a DNS server
        return kind(self.tell, self.host, self.port, local_hostname=name, timeout=self.timeout, **options)

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _expect(self, reply: tuple[int, bytes], what: str) -> str:
        text = f"{reply[0]} {reply[1].decode('utf-8', 'backslashreplace')}"
        if reply[0] not in {250, 251}:
            raise MailbellError(f"{self.server} refused {what}: {text}")
        return text

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # smtplib's errors are OSErrors
            raise MailbellError(f"{self.server}: {_explain(error)}") from error


def _explain(error: Exception) -> str:
    match error:
        case ConnectionRefusedError():
            return "connection refused; is the server running, and is this its port? (--server HOST:PORT)"
        case socket.gaierror():
            return f"there is no host of this name ({error.strerror})"
        case smtplib.SMTPAuthenticationError():
            return f"the server refused user name or password: {_reply(error)}"
        case smtplib.SMTPResponseException():
            return f"the server answered {_reply(error)}"
        case smtplib.SMTPNotSupportedError():
            return f"{error} Try another --tls, or leave out --user."
        case smtplib.SMTPServerDisconnected():
            return f"{error}; -v shows how far it came; where TLS comes first it needs --tls implicit"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}; leave out --verify to accept it"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or error}; try --tls starttls, implicit or off"
        case TimeoutError():
            return "no answer in time; is a firewall in between? (--timeout SECONDS waits longer)"
        case OSError():
            return error.strerror or str(error)
        case _:
            return str(error)


def _reply(error: smtplib.SMTPResponseException) -> str:
    text = error.smtp_error
    return (
        f"{error.smtp_code} {text.decode('utf-8', 'backslashreplace') if isinstance(text, bytes) else text}"
    )


class _Client(smtplib.SMTP):
    """smtplib's client, telling each line; of credentials and of the message only that they went."""

    def __init__(self, tell: Tell, host: str, port: int, **options: Any) -> None:
        self._tell = tell
        self._secret = False
        super().__init__(host, port, **options)

    def send(self, s: Any) -> None:
        self._tell("> " + self._shown(s))
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        code, text = super().getreply()
        for line in text.decode("utf-8", "backslashreplace").split("\n"):
            self._tell(f"< {code} {line}")
        return code, text

    def login(self, user: str, password: str, *, initial_response_ok: bool = True) -> tuple[int, bytes]:
        self._secret = True
        try:
            return super().login(user, password, initial_response_ok=initial_response_ok)
        finally:
            self._secret = False

    def _shown(self, data: str | bytes) -> str:
        if isinstance(data, bytes):
            return f"({len(data)} octets of message)"
        if not self._secret:
            return data.rstrip()
        command, *mechanism = data.split()[:2]
        return f"AUTH {mechanism[0]} ***" if command == "AUTH" else "***"


class _TlsClient(_Client, smtplib.SMTP_SSL):
    """The same with TLS from the first octet."""
