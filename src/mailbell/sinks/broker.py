"""One connection to an MQTT broker: paho-mqtt, driven by the event loop.

It is made once and dies once. Nothing that was under way is carried over to the next one, and the broker is
asked for a clean session: the journal is what remembers. Only the connecting, which paho does in one go, is
done in a thread; a thread for all the rest would cost more than it does, in handing the interpreter over.
"""

import asyncio
import logging
import math
import secrets
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mailbell.errors import SinkUnavailable
from mailbell.remote.tls import client_context
from mailbell.settings import MqttSettings

CONNECT_TIMEOUT = 10.0
GOODBYE_TIMEOUT = 1.0
TICK = 1.0

QOS = 1
MOST_UNACKNOWLEDGED = 1000
"""Messages under way at once where the broker sets no limit of its own (MQTT 5, Receive Maximum)."""

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_ENDS = {128: "the broker has closed it", 141: "the broker answers nothing"}
_VERSIONS = {"3.1.1": MQTTProtocolVersion.MQTTv311, "5": MQTTProtocolVersion.MQTTv5}
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
    try:
        return str(ReasonCode(PacketTypes.PUBACK, identifier=code)).lower()
    except KeyError:
        return f"reason code {code}"


def is_failure(code: int) -> bool:
    """Whether the broker has refused (§2.4)."""
    return code >= 128


async def connect(settings: MqttSettings, will: Message, receive: Receive) -> "Connection":
    """Connect and log in. SinkUnavailable says why not, and the remedy."""
    connection = Connection(settings, will, receive)
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


class Connection:
    """A connection that is up until `lost`, whose result is the reason, is done."""

    def __init__(self, settings: MqttSettings, will: Message, receive: Receive) -> None:
        """For `connect`."""
        self._settings = settings
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._accepted: asyncio.Future[ReasonCode] = self._loop.create_future()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self.max_packet: int | None = None
        """The largest packet that the broker takes, if it says so (MQTT 5)."""
        self._queue: deque[tuple[Message, Answer]] = deque()
        self._waiting: dict[int, Answer] = {}
        self._most_waiting = MOST_UNACKNOWLEDGED
        self._line: socket.socket | None = None
        """What the loop watches."""
        self._writing = False
        self._acknowledged = 0
        self._retains = True
        self._client = self._make_client(will)

    def __repr__(self) -> str:
        state = f"lost: {self.lost.result()}" if self.lost.done() else f"{len(self._waiting)} unacknowledged"
        return f"<Connection to {self._settings.url}, {state}>"

    def _make_client(self, will: Message) -> Client:
        settings, version = self._settings, _VERSIONS[self._settings.version]
        client = Client(
            CallbackAPIVersion.VERSION2,
            settings.client_id,
            protocol=version,
            clean_session=True if version is MQTTProtocolVersion.MQTTv311 else None,
            reconnect_on_failure=False,
        )
        if settings.user:
            client.username_pw_set(settings.user, settings.password or None)
        if urlsplit(settings.url).scheme == "mqtts":
            client.tls_set_context(client_context(settings.ca, settings.certificate, settings.key))
        client.will_set(will.topic, will.payload, QOS, will.retain)
        client.max_inflight_messages_set(0)  # it can't be told the broker's own limit later: we keep that
        client.connect_timeout = CONNECT_TIMEOUT
        client.on_socket_open = _no_delay
        client.on_socket_close = self._on_socket_close
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    async def open(self) -> str | None:
        """Connect; what the broker has against it, or None."""
        parts = urlsplit(self._settings.url)
        host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
        keepalive = min(math.ceil(self._settings.timeout), 65535)
        await asyncio.to_thread(self._client.connect, host, port, keepalive)
        self._drive()
        answers: list[asyncio.Future[Any]] = [self._accepted, self.lost]
        await asyncio.wait(answers, timeout=CONNECT_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if not self._accepted.done():
            said = self.lost.result() if self.lost.done() else f"no answer in {CONNECT_TIMEOUT:g} s"
            return f"{said}; is it an MQTT broker of this version, and this its port with or without TLS?"
        code = self._accepted.result()
        if not code.is_failure:
            self._watch()
            return None
        return f"the broker refuses us: {str(code).lower()}; {_remedy(code.value)}"

    def publish(self, message: Message) -> Answer:
        """Send at QoS 1, in the order of the calls."""
        answer: Answer = self._loop.create_future()
        self._queue.append((message, answer))
        self._send()
        return answer

    def subscribe(self, topics: Sequence[str]) -> None:
        """Ask for messages; each goes to `receive`."""
        self._client.subscribe([(topic, 0) for topic in topics])

    async def close(self) -> None:
        """Say goodbye, so that the broker does not publish the will."""
        self._client.disconnect()
        if not self.lost.done():
            await asyncio.wait([self.lost], timeout=GOODBYE_TIMEOUT)
        self.cut("closed")

    def cut(self, why: str) -> None:
        """Close without a word."""
        if (line := self._client.socket()) is not None:
            with suppress(OSError):
                cast("socket.socket", line).shutdown(socket.SHUT_RDWR)
        self._lose(why)

    def _send(self) -> None:
        """Publish what waits; no more at once than the broker takes, or it cuts us off (MQTT 5, §4.9)."""
        while self._queue and len(self._waiting) < self._most_waiting:
            message, answer = self._queue.popleft()
            if self.lost.done():
                answer.set_result(UNSENT)
                continue
            retain = message.retain and self._retains
            info = self._client.publish(
                message.topic, message.payload, QOS, retain, self._properties(message)
            )
            self._waiting[info.mid] = answer

    def _properties(self, message: Message) -> Properties | None:
        if not message.id or self._settings.version != "5":
            return None
        return _EventId(message.id)

    # Driving paho.

    def _drive(self) -> None:
        """From here on the loop reads and writes."""
        self._line = cast("socket.socket", self._client.socket())
        self._loop.add_reader(self._line, self._read)
        self._client.on_socket_register_write = self._on_register_write
        if self._client.want_write():
            self._on_register_write(self._client, None, self._line)
        self._tick()

    def _read(self) -> None:
        self._client.loop_read()
        while isinstance(self._line, ssl.SSLSocket) and self._line.pending():
            self._client.loop_read()  # what TLS has decrypted already, select() does not know of
        if self._line is not None:
            _acknowledge_at_once(self._line)
        self._send()

    def _write(self) -> None:
        """Send what there is; the rest when the socket takes more."""
        self._writing = False
        self._client.loop_write()
        if self._line is not None and self._client.want_write():
            self._writing = True
            self._loop.add_writer(self._line, self._write_on)

    def _write_on(self) -> None:
        if self._line is not None:
            self._loop.remove_writer(self._line)
        self._write()

    def _tick(self) -> None:
        """Pings, and whether they are answered, are paho's care."""
        if not self.lost.done():
            self._client.loop_misc()
            self._loop.call_later(TICK, self._tick)

    # What paho calls.

    def _on_register_write(self, _client: Client, _data: Any, _line: Any) -> None:
        """There is something to send: with what else comes in this turn of the loop."""
        if not self._writing:
            self._writing = True
            self._loop.call_soon(self._write)

    def _on_socket_close(self, _client: Client, _data: Any, _line: Any) -> None:
        line, self._line = self._line, None
        if line is not None:
            self._loop.remove_reader(line)
            self._loop.remove_writer(line)

    def _on_connect(self, _c: Client, _u: Any, _f: Any, code: ReasonCode, properties: Any) -> None:
        most = getattr(properties, "ReceiveMaximum", MOST_UNACKNOWLEDGED)
        if getattr(properties, "MaximumQoS", QOS) < QOS:
            code = ReasonCode(PacketTypes.CONNACK, identifier=155)  # QoS not supported
        self._accept(code, min(most, MOST_UNACKNOWLEDGED), properties)

    def _on_disconnect(self, _c: Client, _u: Any, _f: Any, code: ReasonCode, _p: Any) -> None:
        self._lose(self._why(code))

    def _on_publish(self, _c: Client, _u: Any, mid: int, code: ReasonCode, _p: Any) -> None:
        self._answer(mid, code.value)

    def _on_subscribe(self, _c: Client, _u: Any, _m: int, codes: list[ReasonCode], _p: Any) -> None:
        for code in codes:
            if code.is_failure:
                why = str(code).lower()
                logger.error("%s: the broker refuses a subscription: %s", self._settings.url, why)

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        self._receive(Publish(message.topic, bytes(message.payload), message.retain))

    # What comes of it.

    def _accept(self, code: ReasonCode, most: int, able: Properties | None) -> None:
        self._most_waiting = most
        self._retains = bool(getattr(able, "RetainAvailable", 1))
        self.max_packet = getattr(able, "MaximumPacketSize", None)
        if not self._accepted.done():
            self._accepted.set_result(code)

    def _answer(self, mid: int, code: int) -> None:
        self._acknowledged += 1
        answer = self._waiting.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result(code)

    def _watch(self, before: int | None = None) -> None:
        """Cut a connection that may answer our pings, which is paho's care, but acknowledges nothing."""
        if self.lost.done():
            return
        now = self._acknowledged if self._waiting else None
        if now is not None and now == before:
            self.cut("the broker acknowledges nothing")
        self._loop.call_later(self._settings.timeout, self._watch, now)

    def _why(self, code: ReasonCode) -> str:
        why = _ENDS.get(code.value) or f"the broker has closed it: {str(code).lower()}"
        if self._waiting:  # mosquitto 2.0 does so for a topic that it does not allow (its issue 2579)
            why += (
                f" with {len(self._waiting)} messages unacknowledged; its log may say why: a right missing?"
            )
        return why

    def _lose(self, why: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(why)
        unanswered = [(answer, LOST) for answer in self._waiting.values()]
        for answer, result in unanswered + [(answer, UNSENT) for _, answer in self._queue]:
            if not answer.done():
                answer.set_result(result)
        self._waiting.clear()
        self._queue.clear()


class _EventId(Properties):
    """The user property `id`. paho's own class takes 80 µs to make and pack one, more than all the rest."""

    def __init__(self, value: str) -> None:
        pair = b"\x26" + b"".join(len(each).to_bytes(2) + each for each in (b"id", value.encode()))
        object.__setattr__(self, "packed", bytes([len(pair)]) + pair)  # short: its length is one octet

    def pack(self) -> bytes:
        """MQTT 5, §2.2.2: the length of all properties, then each."""
        return cast("bytes", object.__getattribute__(self, "packed"))


def _acknowledge_at_once(line: socket.socket) -> None:
    """Else a broker with Nagle's algorithm (mosquitto) holds its answer to our next message back for 40 ms.

    Linux forgets it, so it is said each time that answers come; other systems wait.
    """
    if hasattr(socket, "TCP_QUICKACK"):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _no_delay(_client: Client, _data: Any, line: Any) -> None:
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


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
        case socket.gaierror():
            return f"no such host: {error.strerror}; correct the name in url"
        case TimeoutError():
            return "no answer; is the address right, and no firewall in between?"
        case OSError(strerror=str(text)):
            return text
        case _:
            return str(error) or type(error).__name__


def _remedy(code: int) -> str:
    return _REMEDIES.get(code, "its log may say more")
