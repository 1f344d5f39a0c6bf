"""MQTT 3.1.1 by paho-mqtt, driven by the event loop.

Only the connecting, which paho does in one go, is done in a thread; a thread for all the rest would cost more
than it does, in handing the interpreter over.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from mailbell.settings import MqttSettings
from mailbell.sinks import broker
from mailbell.sinks.broker import CLOSED, QOS, SILENT, Abilities, Connection, Message, Publish, Receive

TICK = 1.0

_ENDS = {128: CLOSED, 141: SILENT}


class Mqtt311(Connection):
    """paho's client, and its socket."""

    def __init__(self, settings: MqttSettings, will: Message, receive: Receive) -> None:
        super().__init__(settings, will, receive)
        self._line: socket.socket | None = None
        """What the loop watches."""
        self._writing = False
        self._client = self._make_client()

    def _make_client(self) -> Client:
        settings, will = self._settings, self._will
        client = Client(
            CallbackAPIVersion.VERSION2,
            settings.client_id,
            protocol=MQTTProtocolVersion.MQTTv311,
            clean_session=True,
            reconnect_on_failure=False,
        )
        if settings.user:
            client.username_pw_set(settings.user, settings.password or None)
        client.will_set(will.topic, will.payload, QOS, will.retain)
        client.max_inflight_messages_set(0)  # that is kept here
        client.connect_timeout = broker.CONNECT_TIMEOUT
        client.on_socket_open = _no_delay
        client.on_socket_close = self._on_socket_close
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_publish_for_us
        return client

    async def _log_in(self, host: str, port: int, tls: ssl.SSLContext | None, keepalive: int) -> None:
        if tls is not None:
            self._client.tls_set_context(tls)
        connecting = self._loop.run_in_executor(None, self._client.connect, host, port, keepalive)
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.add_done_callback(self._give_up)  # a thread can't be stopped
            raise
        self._line = self._client.socket()  # type: ignore[assignment]
        if self._line is None:
            self._on_end(CLOSED)
            return
        self._loop.add_reader(self._line, self._read)
        self._client.on_socket_register_write = self._on_register_write
        if self._client.want_write():
            self._on_register_write(self._client, None, self._line)
        self._tick()

    def _give_up(self, connecting: asyncio.Future[Any]) -> None:
        """Take leave, upon which paho closes the line: it was never up for us, so nobody needs a will."""
        if not connecting.cancelled() and connecting.exception() is None:
            self._client.disconnect()

    def _transmit(self, message: Message) -> int:
        return self._client.publish(message.topic, message.payload, QOS, message.retain).mid

    def subscribe(self, topics: Sequence[str]) -> None:
        self._client.subscribe([(topic, 0) for topic in topics])

    def _say_goodbye(self) -> None:
        self._client.disconnect()

    def _cut_line(self) -> None:
        if (line := self._client.socket()) is not None:
            with suppress(OSError):
                cast("socket.socket", line).shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        self._client.loop_read()
        while isinstance(self._line, ssl.SSLSocket) and self._line.pending():
            self._client.loop_read()  # what TLS has decrypted already, select() does not know of
        if self._line is not None:
            broker.acknowledge_at_once(self._line)
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
        self._client.loop_misc()
        self._after(TICK, self._tick)

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

    def _on_connect(self, _c: Client, _u: Any, _f: Any, code: ReasonCode, _p: Any) -> None:
        self._on_accepted(code.value, Abilities())

    def _on_disconnect(self, _c: Client, _u: Any, _f: Any, code: ReasonCode, _p: Any) -> None:
        self._on_end(_ENDS.get(code.value) or f"{CLOSED}: {broker.reason(code.value)}")

    def _on_publish(self, _c: Client, _u: Any, mid: int, code: ReasonCode, _p: Any) -> None:
        self._on_acknowledged(mid, code.value)

    def _on_subscribe(self, _c: Client, _u: Any, _m: int, codes: list[ReasonCode], _p: Any) -> None:
        self._on_subscribed(code.value for code in codes)

    def _on_publish_for_us(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        self._on_message(Publish(message.topic, bytes(message.payload), message.retain))


def _no_delay(_client: Client, _data: Any, line: Any) -> None:
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
