"""MQTT 5 over a transport of the loop; its packets are the care of the library of that name."""

import asyncio
import itertools
import socket
import ssl
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, cast

import mqtt5
from mqtt5 import QoS

from mailbell.settings import MqttSettings
from mailbell.sinks import broker
from mailbell.sinks.broker import CLOSED, NO_QOS, Abilities, Connection, Message, Publish, Receive

MOST_OCTETS = 2**20
"""Of a packet for us; the broker is told."""

LAST_IDENTIFIER = 65535
BEATS = 2
"""So often do we ask a broker whether it is there, within the time that it has to say something."""

_PING = mqtt5.PingReqPacket().write()
_OLD = bytes((0x20, 2, 0))
"""So begins the refusal of a broker that knows no MQTT 5 (3.1.1, §3.2): two octets, no properties."""
_UNSUPPORTED = 132


class Mqtt5(Connection, asyncio.Protocol):
    """The protocol, and its line."""

    def __init__(self, settings: MqttSettings, will: Message, receive: Receive) -> None:
        super().__init__(settings, will, receive)
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._unwritten: list[bytes] = []
        self._identifiers = itertools.cycle(range(1, LAST_IDENTIFIER + 1))
        self._beat_after = 0.0
        self._silent = 0
        """Beats since the broker has said anything."""

    async def _log_in(self, host: str, port: int, tls: ssl.SSLContext | None, keepalive: int) -> None:
        self._beat_after = keepalive / BEATS
        await self._open_line(host, port, tls)
        settings, will = self._settings, self._will
        hello = mqtt5.ConnectPacket(
            settings.client_id or "",
            username=settings.user or None,
            password=settings.password.encode() if settings.user and settings.password else None,
            clean_start=True,
            will=mqtt5.Will(will.topic, payload=will.payload, qos=QoS.AT_LEAST_ONCE, retain=will.retain),
            keep_alive=keepalive,
            max_packet_size=MOST_OCTETS,
        )
        self._write(hello.write())

    async def _open_line(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """To the first of the host's addresses that answers; each gets its time, for one may be broken."""
        failure = OSError()
        async with asyncio.timeout(broker.CONNECT_TIMEOUT):
            found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for *kind, _, address in found:
            try:
                async with asyncio.timeout(broker.CONNECT_TIMEOUT):
                    await self._open_to(socket.socket(*kind), address, tls, host)
            except OSError as error:
                failure = error
            else:
                return
        raise failure

    async def _open_to(
        self, line: socket.socket, address: Any, tls: ssl.SSLContext | None, host: str
    ) -> None:
        with ExitStack() as ours:
            ours.enter_context(line).setblocking(False)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(line, address)
            ours.pop_all()  # from here on it is the loop's to close
        name = host if tls else None
        await self._loop.create_connection(lambda: self, sock=line, ssl=tls, server_hostname=name)

    def _transmit(self, message: Message) -> int:
        identifier = self._identifier()
        packet = mqtt5.PublishPacket(
            message.topic,
            message.payload,
            qos=QoS.AT_LEAST_ONCE,
            retain=message.retain,
            packet_id=identifier,
            user_properties=[("id", message.id)] if message.id else None,
        )
        self._write(packet.write())
        return identifier

    def subscribe(self, topics: Sequence[str]) -> None:
        wanted = [
            mqtt5.TopicFilter(each, max_qos=QoS.AT_MOST_ONCE, retain_as_published=False) for each in topics
        ]
        self._write(mqtt5.SubscribePacket(self._identifier(), wanted).write())

    def _say_goodbye(self) -> None:
        self._write(mqtt5.DisconnectPacket().write())

    def _cut_line(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _identifier(self) -> int:
        return next(each for each in self._identifiers if each not in self._waiting)

    def _write(self, packet: bytes) -> None:
        """With what else comes in this turn of the loop."""
        if not self._unwritten:
            self._loop.call_soon(self._flush)
        self._unwritten.append(packet)

    def _flush(self) -> None:
        packets, self._unwritten = self._unwritten, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(packets)

    def _beat(self) -> None:
        """Keep the line up, and see whether the broker is there (§3.1.2.10)."""
        if self._silent > BEATS:
            self.cut(broker.SILENT)
            return
        self._silent += 1
        self._write(_PING)
        self._after(self._beat_after, self._beat)

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._silent = 0
        try:
            self._buffer = self._take_all(self._buffer + data)
        except ValueError as error:
            self._on_end(f"it says what is not MQTT 5 ({error})")
            self._cut_line()
            return
        if self._transport is not None:
            broker.acknowledge_at_once(self._transport.get_extra_info("socket"))
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_end(broker.explain(exc) if isinstance(exc, ssl.SSLError) else CLOSED)

    def _take_all(self, data: bytes) -> bytes:
        """Take every packet that is whole; what is left."""
        view, at = memoryview(data), 0
        if data.startswith(_OLD) and not self._accepted.done():
            self._on_accepted(_UNSUPPORTED, self._abilities)
            return b""
        try:
            while at < len(data) and not self.lost.done():
                packet, octets = _read(view[at:])
                at += octets
                self._take(packet)
        except IndexError:  # the rest of it is to come
            if len(data) - at > MOST_OCTETS:
                raise ValueError(f"a packet of more than {MOST_OCTETS} octets") from None
        return data[at:]

    def _take(self, packet: mqtt5.Packet) -> None:
        match packet:
            case mqtt5.PubAckPacket():
                self._on_acknowledged(packet.packet_id, packet.reason_code.value)
            case mqtt5.PublishPacket():
                self._on_message(Publish(packet.topic, packet.payload, packet.retain))
            case mqtt5.ConnAckPacket():
                self._welcome(packet)
            case mqtt5.SubAckPacket():
                self._on_subscribed(code.value for code in packet.reason_codes)
            case mqtt5.DisconnectPacket():
                self._on_end(f"{CLOSED}: {broker.reason(packet.reason_code.value)}")
                self._cut_line()

    def _welcome(self, packet: mqtt5.ConnAckPacket) -> None:
        if self._accepted.done():
            raise ValueError("a second CONNACK")
        code = NO_QOS if packet.max_qos.value < broker.QOS else packet.reason_code.value
        most = min(packet.receive_max, broker.MOST_UNACKNOWLEDGED)
        self._on_accepted(code, Abilities(most, packet.retain_available, packet.max_packet_size))
        if packet.server_keep_alive:
            self._beat_after = min(self._beat_after, packet.server_keep_alive / BEATS)
        self._after(self._beat_after, self._beat)


def _read(view: memoryview) -> tuple[mqtt5.Packet, int]:
    """The first packet, and its length. IndexError: it is not whole yet; ValueError: it is none."""
    try:
        return mqtt5.read(view)
    except (IndexError, ValueError):
        raise
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError("a string that is not UTF-8") from None  # at which mqtt5 0.8 panics
