"""One connection to an MQTT broker.

It is made once and dies once. Nothing that was under way is carried over to the next one, and the broker is
asked for a clean session: the journal is what remembers.
"""

import asyncio
import logging
import math
import secrets
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast
from urllib.parse import urlsplit

from mailbell.errors import SinkUnavailable
from mailbell.settings import MqttSettings
from mailbell.sinks import mqtt_packets as mqtt
from mailbell.sinks.mqtt_packets import Codec, Message
from mailbell.sinks.tls import client_context

CONNECT_TIMEOUT = 10.0
GOODBYE_TIMEOUT = 1.0

SEND_BUFFER = 2**17
"""What the kernel holds of what we have sent: with its megabytes a slow line would look like a dead one."""

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_REMEDIES = {
    132: 'set version = "3.1.1"',
    133: "set client_id to one that it takes",
    134: "correct user and password",
    135: "correct user and password, or the broker's list of users",
}

Receive = Callable[[mqtt.Publish], None]
Answer = asyncio.Future[int]
"""The reason code of the broker for a message, or one of these."""

LOST = -1
"""The connection was lost before the broker answered: it may have the message or not."""
UNSENT = -2
"""The connection was lost before the message was sent."""

logger = logging.getLogger("mailbell.mqtt")


async def connect(settings: MqttSettings, will: Message, receive: Receive) -> "Connection":
    """Connect and log in. SinkUnavailable says why not, and the remedy."""
    try:
        connection = await _open(settings, will, receive)
    except (OSError, ValueError) as error:
        raise SinkUnavailable(f"{settings.url}: {explain(error)}") from error
    try:
        trouble = await connection.greeting()
    except BaseException:
        connection.cut("cancelled")
        raise
    if trouble is not None:
        connection.cut("refused")
        raise SinkUnavailable(f"{settings.url}: {trouble}")
    return connection


class Connection(asyncio.Protocol):
    """A connection that is up until `lost`, whose result is the reason, is done."""

    def __init__(self, settings: MqttSettings, will: Message, receive: Receive) -> None:
        """For `connect`."""
        self._settings = settings
        self._codec = Codec(settings.version)
        self._will = will
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._accepted: asyncio.Future[mqtt.Connack] = self._loop.create_future()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._able = mqtt.Connack(0)
        self._queue: deque[tuple[Message, Answer]] = deque()
        self._waiting: dict[int, Answer] = {}
        self._packet_id = 0
        self._received = self._acknowledged = self._written = 0

    def __repr__(self) -> str:
        state = f"lost: {self.lost.result()}" if self.lost.done() else f"{len(self._waiting)} unacknowledged"
        return f"<Connection to {self._settings.url}, {state}>"

    @property
    def max_packet(self) -> int | None:
        """The largest packet that the broker takes, if it says so (MQTT 5)."""
        return self._able.max_packet

    async def greeting(self) -> str | None:
        """Wait for the broker's answer to CONNECT; what is wrong with it, or None."""
        await asyncio.wait(
            [self._accepted, self.lost], timeout=CONNECT_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
        )
        if not self._accepted.done():
            said = self.lost.result() if self.lost.done() else f"no answer in {CONNECT_TIMEOUT:g} s"
            return f"{said}; is it an MQTT broker of this version, and this its port with or without TLS?"
        self._able = self._accepted.result()
        code = 155 if self._able.qos < mqtt.QOS else self._able.code
        if mqtt.is_failure(code):
            return (
                f"the broker refuses us: {mqtt.reason(code)}; {_REMEDIES.get(code, 'its log may say more')}"
            )
        self._watch(min(self._settings.timeout, self._able.keepalive or math.inf) / 2)
        return None

    def publish(self, message: Message) -> Answer:
        """Send at QoS 1, in the order of the calls."""
        answer: Answer = self._loop.create_future()
        self._queue.append((message, answer))
        self._send()
        return answer

    def subscribe(self, topics: Sequence[str]) -> None:
        """Ask for messages; each goes to `receive`."""
        self._transport.write(self._codec.subscribe(topics, self._next_id()))

    async def close(self) -> None:
        """Say goodbye, so that the broker does not publish the will."""
        if not self.lost.done():
            self._transport.write(mqtt.GOODBYE)
            self._transport.close()
            await asyncio.wait([self.lost], timeout=GOODBYE_TIMEOUT)
        self.cut("closed")

    def cut(self, reason: str) -> None:
        """Close without a word."""
        self._lose(reason)
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """For the loop."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        user, password = self._settings.user, self._settings.password
        keepalive = min(math.ceil(2 * self._settings.timeout), 65535)
        self._transport.write(
            self._codec.connect(self._settings.client_id, keepalive, self._will, user, password)
        )

    def data_received(self, data: bytes) -> None:
        """For the loop."""
        self._received += 1
        try:
            packets = self._codec.receive(data)
        except mqtt.MalformedPacket as error:
            self.cut(f"what it says is not MQTT: {error}")
            return
        for packet in packets:
            self._handle(packet)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """For the loop."""
        cut = exc is None or isinstance(exc, ConnectionResetError | BrokenPipeError)
        why = "the broker has closed it" if cut or exc is None else explain(exc)
        if cut and self._waiting:  # mosquitto 2.0 does so for a topic that it does not allow (its issue 2579)
            why += (
                f" with {len(self._waiting)} messages unacknowledged; its log may say why: a right missing?"
            )
        self._lose(why)

    def _handle(self, packet: mqtt.Packet) -> None:
        match packet:
            case mqtt.Puback(packet_id, code):
                self._acknowledged += 1
                answer = self._waiting.pop(packet_id, None)
                if answer is not None and not answer.done():
                    answer.set_result(code)
            case mqtt.Publish():
                self._receive(packet)
            case mqtt.Connack():
                if not self._accepted.done():
                    self._accepted.set_result(packet)
            case mqtt.Suback(_, codes):
                for code in filter(mqtt.is_failure, codes):
                    logger.error("the broker refuses a subscription: %s", mqtt.reason(code))
            case mqtt.Disconnect(code):
                self.cut(f"the broker has closed it: {mqtt.reason(code)}")

    def _send(self) -> None:
        """Publish what waits; no more at once than the broker takes, or it cuts us off (MQTT 5, §4.9)."""
        packets = []
        while self._queue and len(self._waiting) < self._able.receive_maximum:
            message, answer = self._queue.popleft()
            if self.lost.done():
                answer.set_result(UNSENT)
                continue
            packet_id = self._next_id()
            self._waiting[packet_id] = answer
            packets.append(self._codec.publish(message, packet_id))
        if packets:
            self._written += sum(map(len, packets))
            self._transport.writelines(packets)

    def _next_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % mqtt.MOST_UNACKNOWLEDGED + 1
            if self._packet_id not in self._waiting:
                return self._packet_id

    def _watch(self, every: float, before: object = None) -> None:
        """Cut a connection on which nothing moves: no acknowledgement, no answer to a ping, nothing out.

        So a broker that hangs is found out, and a slow line may take its time for large images.
        """
        if self.lost.done():
            return
        now: object = self._received
        if self._waiting:
            now = (self._acknowledged, self._written - self._transport.get_write_buffer_size())
        else:
            self._transport.write(mqtt.PINGREQ)
        if now == before:
            self.cut(f"the broker answers nothing for {every:g} s")
        self._loop.call_later(every, self._watch, every, now)

    def _lose(self, reason: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(reason)
        unanswered = [(answer, LOST) for answer in self._waiting.values()]
        for answer, result in unanswered + [(answer, UNSENT) for _, answer in self._queue]:
            if not answer.done():
                answer.set_result(result)
        self._waiting.clear()
        self._queue.clear()


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


async def _open(settings: MqttSettings, will: Message, receive: Receive) -> Connection:
    parts = urlsplit(settings.url)
    host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
    files = settings.ca, settings.certificate, settings.key
    tls = client_context(*files) if parts.scheme == "mqtts" else None
    async with asyncio.timeout(CONNECT_TIMEOUT):
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(settings, will, receive), host, port, ssl=tls
        )
    return connection
