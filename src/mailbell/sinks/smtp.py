"""The smtp sink: the mail as it was received, to another mail server.

Theory of operation. Connections are kept for the next mail, up to `KEEP` seconds; a RSET shows whether one is
still there. A server may take a mail for some of its recipients only: the others are remembered, so that the
next try, or a replay, is for them alone (after a restart: for all).
"""

import asyncio
import re
import socket
from contextlib import suppress
from email.utils import formatdate

from aiosmtplib import SMTP, SMTPDataError, SMTPException, SMTPResponse, SMTPResponseException

from mailbell.event.convert import Converted
from mailbell.event.template import Template
from mailbell.remote.secrets import Mask
from mailbell.remote.tls import client_context
from mailbell.settings import SmtpSettings
from mailbell.sinks.base import Delivered, Outcome, Reject, Retry

KEEP = 5.0

MOST_HOPS = 50
"""RFC 5321 § 6.3: a mail with so many Received fields goes round in circles."""

SLOWEST = 10_000
"""Octets a second: what a message may take on top of the time for its reply."""

NOT_THE_MAIL = {530, 534, 535, 538}
"""RFC 4954 § 6, RFC 3207 § 4: AUTH or TLS is wanted or failed. Settings can mend that; the mail is fine."""

TOO_MANY_RECIPIENTS = 552
"""RFC 5321 § 4.5.3.1.10: older servers say that for 452, and to RCPT it is to be taken so."""

_ADDRESS = re.compile(
    r'"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*"(?:@[^\x00-\x20\x7f<>"]+)?|[^\x00-\x20\x7f<>"]+'
)
_NO_HELO = re.compile(r"[^A-Za-z0-9.:\[\]_-]")


class SmtpSink:
    """One mail server."""

    sequential = False

    def __init__(self, name: str, settings: SmtpSettings) -> None:
        self.name = name
        self._settings = settings
        self._mail_from = None if settings.mail_from is None else Template(settings.mail_from)
        self._rcpt_to = [Template(each) for each in settings.rcpt_to]
        self._hostname = settings.hostname or socket.gethostname()
        self._mask = Mask([settings.password])
        self._idle: list[SMTP] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._left: dict[str, tuple[str, ...]] = {}

    def __repr__(self) -> str:
        return f"<SmtpSink {self.name}: {self._settings.describe()}>"

    async def start(self) -> None:
        """Read the certificates; whether the server is there shows with the first event."""
        self._context = client_context(self._settings.ca)

    async def deliver(self, item: Converted) -> Outcome:
        """Hand the mail over."""
        if sum(header.name.lower() == "received" for header in item.event.headers) > MOST_HOPS:
            return Reject(
                f"it has come through over {MOST_HOPS} servers: a loop, is the server to forward to ours?"
            )
        try:
            sender, recipients = self._envelope(item)
        except ValueError as error:
            return Reject(str(error))
        client = await self._kept() or self._new()
        try:
            if not client.is_connected:
                await client.connect()
                await client.ehlo()
            outcome = await self._transact(client, item, sender, recipients)
        except SMTPResponseException as error:  # greeting, EHLO, STARTTLS, AUTH: not about this mail
            return Retry(self._mask(f"{error.code} {error.message}"))
        except (SMTPException, OSError) as error:
            return Retry(self._mask(error))
        else:
            self._keep(client)
            return outcome
        finally:
            if client not in self._idle:
                client.close()

    async def stop(self) -> None:
        """Say goodbye on the connections kept."""
        if self._timer is not None:
            self._timer.cancel()
        if self._closing is not None:
            await self._closing
        await self._quit()

    def _envelope(self, item: Converted) -> tuple[str, tuple[str, ...]]:
        """Return sender and recipients; ValueError when one is no address."""
        event = item.event
        sender = (
            event.envelope.mail_from if self._mail_from is None else self._mail_from.render(event).strip()
        )
        rewritten = tuple(dict.fromkeys(each.render(event).strip() for each in self._rcpt_to))
        recipients = self._left.get(event.id) or rewritten or event.envelope.rcpt_to
        for each in (*recipients, *([sender] if sender else [])):  # no sender is the null reverse-path
            if not _ADDRESS.fullmatch(each):
                raise ValueError(f"{each!r} is no address")
        return sender, recipients

    async def _kept(self) -> SMTP | None:
        """Return a connection that still answers."""
        while self._idle:
            client = self._idle.pop()
            with suppress(SMTPException, OSError):
                await client.rset()
                return client
            client.close()
        return None

    def _new(self) -> SMTP:
        settings = self._settings
        return SMTP(
            hostname=settings.host,
            port=settings.port or (465 if settings.tls == "implicit" else 25),
            local_hostname=self._hostname,
            username=settings.user or None,
            password=settings.password,
            timeout=settings.timeout,
            use_tls=settings.tls == "implicit",
            start_tls=settings.tls == "starttls",
            tls_context=None if settings.tls == "off" else self._context,
        )

    async def _transact(
        self, client: SMTP, item: Converted, sender: str, recipients: tuple[str, ...]
    ) -> Outcome:
        message = self._received(item) + item.mail.raw
        reply = await self._command(
            client, "MAIL FROM", sender, _parameters(client, message, sender, recipients)
        )
        if reply.code >= 400:
            return self._refused([reply])
        refused: dict[str, SMTPResponse] = {}
        for each in recipients:
            reply = await self._command(client, "RCPT TO", each)
            if reply.code >= 400:
                code = 452 if reply.code == TOO_MANY_RECIPIENTS else reply.code
                refused[each] = SMTPResponse(code, f"{reply.message} ({each})")
        if len(refused) == len(recipients):
            return self._refused(list(refused.values()))
        try:
            await client.data(message, timeout=self._settings.timeout + len(message) / SLOWEST)
        except SMTPDataError as error:
            return self._refused([SMTPResponse(error.code, error.message)])
        if refused:
            self._left[item.event.id] = tuple(refused)
            return self._refused(list(refused.values()))
        self._left.pop(item.event.id, None)
        return Delivered()

    async def _command(self, client: SMTP, verb: str, address: str, parameters: str = "") -> SMTPResponse:
        return await client.execute_command(f"{verb}:<{address}>{parameters}".encode())

    def _refused(self, replies: list[SMTPResponse]) -> Outcome:
        """Try again where the server says so for any recipient."""
        for reply in replies:
            if reply.code < 500 or reply.code in NOT_THE_MAIL:
                return Retry(self._mask(f"{reply.code} {reply.message}"))
        return Reject(self._mask("; ".join(f"{reply.code} {reply.message}" for reply in replies)))

    def _received(self, item: Converted) -> bytes:
        """Return the trace field that whoever passes a mail on has to add (RFC 5321 § 4.4)."""
        source, event = item.mail.source, item.event
        helo = _NO_HELO.sub("", source.helo)[:255] or "unknown"
        ip = f"IPv6:{source.ip}" if ":" in source.ip else source.ip
        lines = (
            f"Received: from {helo} ([{ip}])",
            f"by {self._hostname} with ESMTP id {event.id};",
            formatdate(item.mail.received_at / 1000),
        )
        return ("\r\n\t".join(lines) + "\r\n").encode()

    def _keep(self, client: SMTP) -> None:
        self._idle.append(client)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(KEEP, self._close_idle)

    def _close_idle(self) -> None:
        self._closing = asyncio.get_running_loop().create_task(self._quit())

    async def _quit(self) -> None:
        while self._idle:
            client = self._idle.pop()
            with suppress(SMTPException, OSError):  # it goes either way
                await client.quit()
            client.close()


def _parameters(client: SMTP, message: bytes, *addresses: object) -> str:
    """What MAIL tells of the message, as far as the server knows the extension."""
    parameters = f" SIZE={len(message)}" if client.supports_extension("size") else ""
    if not message.isascii() and client.supports_extension("8bitmime"):
        parameters += " BODY=8BITMIME"  # else it goes as it is: that is what servers without it take
    if not str(addresses).isascii() and client.supports_extension("smtputf8"):
        parameters += " SMTPUTF8"
    return parameters
