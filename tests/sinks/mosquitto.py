"""A mosquitto of our own, one to kill and to start again; a paho client that watches it; a line to cut."""

import asyncio
import re
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.tools import free_port, need

PATIENCE = 60.0


class Mosquitto:
    """The broker, and what it has logged over all its lives."""

    def __init__(self, folder: Path, config: str = "", access: str = "allow_anonymous true") -> None:
        self.command = need("mosquitto")
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        self.config.write_text(
            # by default a subscriber that is slow loses what goes beyond 1000 messages
            f"listener {self.port} 127.0.0.1\nmax_queued_messages 0\nuser root\n{access}\n{config}\n"
        )
        self.lines: list[str] = []
        self._news = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Come up; with all that it had forgotten."""
        self._process = await asyncio.create_subprocess_exec(
            self.command, "-v", "-c", str(self.config), stderr=asyncio.subprocess.PIPE
        )
        self._reading = asyncio.create_task(self._read(self._process))
        lives = sum("running" in line for line in self.lines)
        await self.line("running", lives + 1)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            self.lines.append(line.decode().rstrip())
            self._news.set()

    async def line(self, pattern: str, count: int = 1) -> None:
        """Wait until so many lines of the log match."""
        async with asyncio.timeout(PATIENCE):
            while sum(bool(re.search(pattern, line)) for line in self.lines) < count:
                self._news.clear()
                await self._news.wait()

    async def received(self, count: int) -> list[str]:
        """The devices of the events that have come, in order, once there are so many different ones.

        Its own log is the witness of what it had; an acknowledgement may be quicker here than the log's line.
        """
        async with asyncio.timeout(PATIENCE):
            while len(set(found := self._devices())) < count:
                self._news.clear()
                await self._news.wait()
        return found

    def _devices(self) -> list[str]:
        return re.findall(r"Received PUBLISH from .*'mailbell/([^/']*)/event'", "\n".join(self.lines))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: STOP and CONT make it hang, HUP makes it read its files again."""
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        """No last words; what it had is gone."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        if self._reading is not None:
            await self._reading


@asynccontextmanager
async def brokering(*args: Any, **kwargs: Any) -> AsyncIterator[Mosquitto]:
    """A broker that is up."""
    broker = Mosquitto(*args, **kwargs)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.kill()


class Seen(NamedTuple):
    """A message as its publisher sent it; `retained`: with the retain flag."""

    topic: str
    payload: bytes
    retained: bool
    qos: int
    properties: list[tuple[str, str]]


class Watcher:
    """Sees all that is published. paho in its thread: a second opinion on what we send."""

    def __init__(self, port: int, **login: Any) -> None:
        self.port = port
        self.seen: list[Seen] = []
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        if tls := login.get("tls"):
            self._client.tls_set_context(tls)
        if user := login.get("user"):
            self._client.username_pw_set(*user)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_connect(self, *_: object) -> None:
        self._client.subscribe("#", options=_AS_PUBLISHED)

    def _on_subscribe(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._subscribed.set)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        pairs = getattr(message.properties, "UserProperty", [])
        seen = Seen(message.topic, bytes(message.payload), message.retain, message.qos, pairs)
        self._loop.call_soon_threadsafe(self._note, seen)

    def _note(self, seen: Seen) -> None:
        self.seen.append(seen)
        self._news.set()

    async def until(self, done: Callable[[list[Seen]], bool]) -> list[Seen]:
        """Wait until this holds for all that was seen; what that is."""
        async with asyncio.timeout(PATIENCE):
            while not done(self.seen):
                self._news.clear()
                await self._news.wait()
        return self.seen

    async def topics(self, pattern: str, count: int) -> list[Seen]:
        """Wait for so many messages with such a topic."""
        found: list[Seen] = []

        def enough(seen: list[Seen]) -> bool:
            found[:] = [each for each in seen if re.fullmatch(pattern, each.topic)]
            return len(found) >= count

        await self.until(enough)
        return found

    def publish(self, topic: str, payload: str | bytes, retain: bool = False) -> None:
        """Say something ourselves."""
        self._client.publish(topic, payload, 1, retain)


_AS_PUBLISHED = SubscribeOptions(1, retainAsPublished=True)


@asynccontextmanager
async def watching(port: int, **login: Any) -> AsyncIterator[Watcher]:
    """A watcher that has subscribed. It sees at once what the broker has kept."""
    watcher = Watcher(port, **login)
    try:
        async with asyncio.timeout(PATIENCE):
            await watcher._subscribed.wait()
        yield watcher
    finally:
        watcher._client.disconnect()
        await asyncio.to_thread(watcher._client.loop_stop)


def trusting(certificate: Path) -> ssl.SSLContext:
    """A client's context that trusts this one."""
    return ssl.create_default_context(cafile=certificate)


class Line:
    """A TCP line to a port, with its own: `cut` breaks all that goes over it, as a pulled plug does."""

    def __init__(self, target: int, octets_a_second: int | None = None) -> None:
        self._target = target
        self._pace = octets_a_second
        self._writers: list[asyncio.StreamWriter] = []
        self.connections = 0
        self.port = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Line"]:
        """Take connections."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**15)  # or it would swallow megabytes
        server = await asyncio.start_server(self._take, sock=listener, limit=2**15)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """Break what is open."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, far_writer]
        await asyncio.gather(self._pass_on(reader, far_writer), self._pass_on(far_reader, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
                if self._pace is not None:
                    await asyncio.sleep(len(data) / self._pace)
        except ConnectionError:
            pass  # cut
        finally:
            writer.close()
