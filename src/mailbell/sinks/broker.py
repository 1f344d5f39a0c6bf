"""One connection to an MQTT broker: what is under way, and what comes of it.

It is made once and dies once. Nothing that was under way is carried over to the next one, and the broker is
asked for a clean session: the journal is what remembers. The protocol is two subclasses' care, one for each
version (`mqtt5.py`, `mqtt311.py`), with a library each.
"""

import asyncio
import logging
import math
import os
import secrets
import socket
import ssl
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from mqtt5 import ConnAckReasonCode, DisconnectReasonCode, PubAckReasonCode, SubAckReasonCode

from mailbell.errors import SinkUnavailable
from mailbell.remote.tls import client_context
from mailbell.settings import MqttSettings

CONNECT_TIMEOUT = 10.0
GOODBYE_TIMEOUT = 1.0

QOS = 1
MOST_UNACKNOWLEDGED = 1000
"""Messages under way at once where the broker sets no limit of its own (MQTT 5, Receive Maximum)."""

NO_QOS = 155
"""The reason code for a broker that does not take QoS 1."""
BAD_TOPIC = 144
"""The reason code for a topic that is none."""

CLOSED = "the broker has closed it"
SILENT = "the broker answers nothing"

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_REMEDIES = {
    132: 'set version = "3.1.1"',
    133: "set client_id to one that it takes",
    134: "correct user and password",
    135: "correct user and password, or the broker's list of users",
}


class Message(NamedTuple):
    """What is published. `id` goes along as a user property where the protocol has such (MQTT 5)."""

    topic: str
    payload: bytes
    retain: bool = False
    id: str = ""


class Publish(NamedTuple):
    """A message for us. `retained`: the broker had kept it."""

    topic: str
    payload: bytes
    retained: bool


class Abilities(NamedTuple):
    """What the broker says that it can do, where it says so (MQTT 5, §3.2.2.3)."""

    unacknowledged: int = MOST_UNACKNOWLEDGED
    retains: bool = True
    max_packet: int | None = None


Receive = Callable[[Publish], None]
Answer = asyncio.Future[int]
"""The reason code of the broker for a message (MQTT 5, §2.4), or one of these."""

LOST = -1
"""The connection was lost before the broker answered: it may have the message or not."""
UNSENT = -2
"""The connection was lost before the message was sent."""

logger = logging.getLogger("mailbell.mqtt")


def reason(code: int) -> str:
    """A reason code in words."""
    for codes in (DisconnectReasonCode, ConnAckReasonCode, PubAckReasonCode, SubAckReasonCode):
        with suppress(ValueError):
            return codes(code).name.lower().replace("_", " ")
    return f"reason code {code}"


def is_failure(code: int) -> bool:
    """Whether the broker has refused (§2.4)."""
    return code >= 128


async def connect(settings: MqttSettings, will: Message, receive: Receive) -> "Connection":
    """Connect and log in. SinkUnavailable says why not, and the remedy."""
    connection = _of_version(settings, will, receive)
    try:
        trouble = await connection.open()
    except (OSError, ValueError) as error:
        connection.cut("never open")
        raise SinkUnavailable(f"{settings.url}: {explain(error)}") from error
    except BaseException:
        connection.cut("cancelled")
        raise
    if trouble is not None:
        await connection.close()
        raise SinkUnavailable(f"{settings.url}: {trouble}")
    return connection


def _of_version(settings: MqttSettings, will: Message, receive: Receive) -> "Connection":
    if settings.version == "5":
        from mailbell.sinks.mqtt5 import Mqtt5

        return Mqtt5(settings, will, receive)
    from mailbell.sinks.mqtt311 import Mqtt311

    return Mqtt311(settings, will, receive)


class Connection(ABC):
    """A connection that is up until `lost`, whose result is the reason, is done."""

    def __init__(self, settings: MqttSettings, will: Message, receive: Receive) -> None:
        """For `connect`."""
        self._settings = settings
        self._will = will
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._accepted: asyncio.Future[int] = self._loop.create_future()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._abilities = Abilities()
        self._queue: deque[tuple[Message, Answer]] = deque()
        self._waiting: dict[int, Answer] = {}
        self._acknowledged = 0
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def __repr__(self) -> str:
        state = f"lost: {self.lost.result()}" if self.lost.done() else f"{len(self._waiting)} unacknowledged"
        return f"<Connection to {self._settings.url}, {state}>"

    @property
    def max_packet(self) -> int | None:
        """The largest packet that the broker takes, if it says so (MQTT 5)."""
        return self._abilities.max_packet

    async def open(self) -> str | None:
        """Connect; what the broker has against it, or None."""
        parts = urlsplit(self._settings.url)
        tls = None
        if parts.scheme == "mqtts":
            tls = client_context(self._settings.ca, self._settings.certificate, self._settings.key)
        keepalive = min(math.ceil(self._settings.timeout), 65535)
        await self._log_in(str(parts.hostname), parts.port or _PORTS[parts.scheme], tls, keepalive)
        answers: list[asyncio.Future[Any]] = [self._accepted, self.lost]
        await asyncio.wait(answers, timeout=CONNECT_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if not self._accepted.done():
            said = self.lost.result() if self.lost.done() else f"no answer in {CONNECT_TIMEOUT:g} s"
            return f"{said}; is it an MQTT broker of this version, and this its port with or without TLS?"
        code = self._accepted.result()
        if not is_failure(code):
            self._watch()
            return None
        return f"the broker refuses us: {reason(code)}; {_REMEDIES.get(code, 'its log may say more')}"

    def publish(self, message: Message) -> Answer:
        """Send at QoS 1, in the order of the calls."""
        answer: Answer = self._loop.create_future()
        self._queue.append((message, answer))
        self._send()
        return answer

    async def close(self) -> None:
        """Say goodbye, so that the broker does not publish the will."""
        if not self.lost.done():
            self._say_goodbye()
        try:
            await asyncio.wait([self.lost], timeout=GOODBYE_TIMEOUT)
        finally:
            self.cut("closed")

    def cut(self, why: str) -> None:
        """Close without a word."""
        self._cut_line()
        self._lose(why)

    # The protocol's part.

    @abstractmethod
    async def _log_in(self, host: str, port: int, tls: ssl.SSLContext | None, keepalive: int) -> None:
        """Open the line and say who we are; OSError, ValueError. `keepalive` in seconds."""

    @abstractmethod
    def _transmit(self, message: Message) -> int:
        """Send a message; the packet's identifier."""

    @abstractmethod
    def subscribe(self, topics: Sequence[str]) -> None:
        """Ask for messages; each goes to `receive`."""

    @abstractmethod
    def _say_goodbye(self) -> None:
        """Take leave; the broker closes the line."""

    @abstractmethod
    def _cut_line(self) -> None:
        """Close it, if it is open."""

    # What the protocol tells.

    def _on_accepted(self, code: int, abilities: Abilities) -> None:
        self._abilities = abilities
        if not self._accepted.done():
            self._accepted.set_result(code)

    def _on_acknowledged(self, identifier: int, code: int) -> None:
        answer = self._waiting.pop(identifier, None)
        if answer is None:
            return
        self._acknowledged += 1
        _settle(answer, code)

    def _on_message(self, message: Publish) -> None:
        """Whatever others publish, our connection stays up."""
        try:
            self._receive(message)
        except Exception:
            logger.exception("%s: a message on %r", self._settings.url, message.topic)

    def _on_subscribed(self, codes: Iterable[int]) -> None:
        for code in filter(is_failure, codes):
            logger.error("%s: the broker refuses a subscription: %s", self._settings.url, reason(code))

    def _on_end(self, why: str) -> None:
        if self._waiting:  # mosquitto 2.0 does so for a topic that it does not allow (its issue 2579)
            why += (
                f" with {len(self._waiting)} messages unacknowledged; its log may say why: a right missing?"
            )
        self._lose(why)

    # What comes of it.

    def _send(self) -> None:
        """Publish what waits; no more at once than the broker takes, or it cuts us off (MQTT 5, §4.9)."""
        while self._queue and len(self._waiting) < self._abilities.unacknowledged:
            message, answer = self._queue.popleft()
            if self.lost.done():
                _settle(answer, UNSENT)
                continue
            if message.retain and not self._abilities.retains:
                message = message._replace(retain=False)
            try:
                self._waiting[self._transmit(message)] = answer
            except ValueError:
                logger.exception("%s: not published to %r", self._settings.url, message.topic)
                _settle(answer, BAD_TOPIC)

    def _watch(self, before: int | None = None) -> None:
        """Cut a connection that may answer our pings, but acknowledges nothing."""
        now = self._acknowledged if self._waiting else None
        if now is not None and now == before:
            self.cut("the broker acknowledges nothing")
        self._after(self._settings.timeout, self._watch, now)

    def _after(self, seconds: float, work: Callable[..., None], *args: Any) -> None:
        """Do so then, unless the connection is lost by then."""
        if not self.lost.done():
            self._timers[work.__name__] = self._loop.call_later(seconds, work, *args)

    def _lose(self, why: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(why)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        unanswered = [(answer, LOST) for answer in self._waiting.values()]
        for answer, result in unanswered + [(answer, UNSENT) for _, answer in self._queue]:
            _settle(answer, result)
        self._waiting.clear()
        self._queue.clear()


def _settle(answer: Answer, result: int) -> None:
    if not answer.done():  # else nobody waits for it any more
        answer.set_result(result)


def acknowledge_at_once(line: socket.socket) -> None:
    """Else a broker with Nagle's algorithm (mosquitto) holds its answer to our next message back for 40 ms.

    Linux forgets it, so it is said each time that answers come; other systems wait.
    """
    if hasattr(socket, "TCP_QUICKACK"):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def own_client_id() -> str:
    """Return an identifier that nobody else has, of the 23 letters that every broker takes."""
    return f"mailbell{secrets.token_hex(6)}"


def explain(error: Exception) -> str:
    """Why there is no connection, and the remedy."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}; set ca to who has signed it"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or error}; is this the broker's port for TLS?"
        case ConnectionRefusedError():
            return "connection refused; is the broker running, and this its port?"
        case ConnectionResetError() | ConnectionAbortedError():
            return "the broker has closed it; is this its port for TLS?"
        case socket.gaierror():
            return f"no such host: {error.strerror}; correct the name in url"
        case TimeoutError():
            return "no answer; is the address right, and no firewall in between?"
        case OSError(errno=int(number)):
            return os.strerror(number)  # the loop's own text tells of an address in place of a reason
        case _:
            return str(error) or type(error).__name__
