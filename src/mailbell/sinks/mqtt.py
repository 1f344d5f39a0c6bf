"""The mqtt sink: events to a broker, and through it to Home Assistant.

While the broker is away, deliveries wait: that is no event's fault, so none is retried or parked for it, and
all flows again, in order, from the moment that it is back. An event that was under way when the connection
broke is retried, with the usual backoff: should it be what the broker chokes on, the others get past it.
"""

import asyncio
import logging
import unicodedata
from collections.abc import Iterator
from functools import lru_cache, partial

import msgspec

from mailbell.clock import SystemClock
from mailbell.errors import SinkUnavailable
from mailbell.event.convert import Converted
from mailbell.event.template import Template
from mailbell.settings import MqttSettings
from mailbell.sinks.base import Delivered, Outcome, Reject, Retry
from mailbell.sinks.broker import (
    LOST,
    UNSENT,
    Answer,
    Connection,
    Message,
    Publish,
    connect,
    is_failure,
    own_client_id,
    reason,
)
from mailbell.sinks.homeassistant import Discovery
from mailbell.sinks.payload import full

RECONNECT_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before each try to connect again; the last one repeats."""

STABLE = 60.0
"""Seconds after which a connection counts as good, and the delays start anew."""

LISTENING_AFTER = 2.0
"""Seconds that Home Assistant gets to subscribe to a new device: its first event would pass unseen else."""

FAREWELL_TIMEOUT = 1.0
MAX_DEVICES = 1000
MAX_LEVEL = 128
LONGEST = 268_435_455
"""The most octets that a packet can have (MQTT 5, §1.5.5)."""
OVERHEAD = 2048
"""The most octets of a packet that are not payload: topic, identifier, properties."""

SHORT_TEXT = 64 * 1024
"""Characters of the text that are left of an event too large for the broker; its HTML goes altogether."""

UNFIT = (144, 153)
"""Topic name or payload format invalid: that will never do. All else may change: rights, quotas, room."""

logger = logging.getLogger("mailbell.mqtt")


class MqttSink:
    """A broker. An event is delivered when all that is published of it is acknowledged."""

    sequential = False

    def __init__(self, name: str, settings: MqttSettings) -> None:
        self.name = name
        self._clock = SystemClock()
        self._settings = msgspec.structs.replace(settings, client_id=settings.client_id or own_client_id())
        self._device = Template(settings.device)
        self._status = f"{settings.prefix}/status"
        self._forgotten = False
        self._discovery = Discovery(settings) if settings.homeassistant else None
        self._devices: dict[str, float] = {}
        """The devices that Home Assistant knows, each with the loop's time from which on it listens."""
        self._newest: dict[str, int] = {}
        """When the latest mail of each device was received, in milliseconds."""
        self._connection: Connection | None = None
        self._up = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<MqttSink {self.name}: {self._connection or 'not connected'}>"

    async def start(self) -> None:
        """Connect. SinkUnavailable: why not."""
        connection = await self._connect()
        self._come_up(connection)
        self._keeper = asyncio.create_task(self._stay_connected(connection))

    async def deliver(self, item: Converted) -> Outcome:
        """Publish the event; what it sets (image, last, motion) comes before it."""
        while True:
            outcome = await self._publish(item, await self._connected())
            if outcome is not None:  # else the connection was lost with nothing of it sent
                return outcome

    async def _publish(self, item: Converted, connection: Connection) -> Outcome | None:
        device = level(self._device.render(item.event))
        if self._discovery is not None:
            await self._introduce(connection, device, self._discovery)
        limit = self._limit(connection)
        if (body := fit(item, self._settings, limit)) is None:
            return Reject(f"the event, even shortened, is larger than {limit} octets (max_packet)")
        answers = [connection.publish(each) for each in self._messages(item, device, body, limit)]
        return _outcome({await each for each in reversed(answers)})  # they come in order: one wake-up for all

    async def stop(self) -> None:
        """Say `offline`, and disconnect."""
        try:
            if self._keeper is not None:
                self._keeper.cancel()
                await asyncio.wait([self._keeper])
            if self._connection is not None:
                await self._leave(self._connection)
        finally:
            if self._connection is not None:
                self._connection.cut("stopped")

    async def _leave(self, connection: Connection) -> None:
        """Where the broker does not hear it, our will says the same; not of a sink that is forgotten."""
        heard = await _heard([connection.publish(each) for each in self._last_words()])
        if heard or self._forgotten:
            await connection.close()

    def forget(self) -> None:
        """Let `stop` remove what the broker keeps of this sink: the settings have it no more."""
        self._forgotten = True

    def _last_words(self) -> list[Message]:
        if not self._forgotten:
            return [Message(self._status, b"offline", retain=True)]
        devices = self._devices.keys() | self._newest.keys()
        topics = [] if self._discovery is None else [self._discovery.topic(each) for each in self._devices]
        topics += [f"{self._settings.prefix}/{each}/{kept}" for each in devices for kept in ("last", "image")]
        return [Message(topic, b"", retain=True) for topic in (*topics, self._status)]

    async def _connected(self) -> Connection:
        while self._connection is None or self._connection.lost.done():
            self._up.clear()  # _stay_connected may not have heard yet
            await self._up.wait()
        return self._connection

    def _limit(self, connection: Connection) -> int:
        """The most octets of a payload."""
        return min(self._settings.max_packet, connection.max_packet or LONGEST, LONGEST) - OVERHEAD

    def _messages(self, item: Converted, device: str, body: bytes, limit: int) -> Iterator[Message]:
        root, id_, retain = f"{self._settings.prefix}/{device}", item.event.id, self._settings.retain
        if self._is_newest(device, item.mail.received_at):
            if (image := self._image(item, limit)) is not None:
                yield Message(f"{root}/image", image, retain, id_)
            yield Message(f"{root}/last", body, retain, id_)
        yield Message(f"{root}/motion", b"ON", id=id_)
        yield Message(f"{root}/event", body, id=id_)

    def _is_newest(self, device: str, received_at: int) -> bool:
        """A retried event is no longer the last one; unless the clock was set back."""
        if received_at < self._newest.get(device, 0) <= self._clock.time() * 1000:
            return False
        if len(self._newest) >= MAX_DEVICES:
            self._newest.clear()
        self._newest[device] = received_at
        return True

    def _image(self, item: Converted, limit: int) -> bytes | None:
        """The first image attachment, if there is one and it is not too large."""
        for each in item.event.attachments:
            if (each.detected_type or each.content_type).startswith("image/"):
                if each.size <= limit:
                    return item.attachment(each.index)
                logger.warning(
                    "sink %s: %s: the image of %d octets is left out, a packet may have %d (max_packet)",
                    self.name, item.event.id, each.size, limit,
                )  # fmt: skip
                return None
        return None

    async def _connect(self) -> Connection:
        will = Message(self._status, b"offline", retain=True)
        return await connect(self._settings, will, self._received)

    async def _stay_connected(self, connection: Connection) -> None:
        attempt = 0
        while True:
            since = self._clock.monotonic()
            await asyncio.wait([connection.lost])  # awaited itself, it would be cancelled with us
            why = connection.lost.result()
            self._up.clear()
            logger.warning(
                "sink %s: %s: connection lost: %s; events wait", self.name, self._settings.url, why
            )
            if self._clock.monotonic() - since > STABLE:  # else whatever cut us off may do so again
                attempt = 0
            connection, attempt = await self._reconnect(attempt)
            self._come_up(connection)
            logger.info("sink %s: %s: connected again", self.name, self._settings.url)

    async def _reconnect(self, attempt: int) -> tuple[Connection, int]:
        """Try until it succeeds; the connection, and the number of the next attempt."""
        said = ""
        while True:
            await asyncio.sleep(RECONNECT_DELAYS[min(attempt, len(RECONNECT_DELAYS) - 1)])
            attempt += 1
            try:
                return await self._connect(), attempt
            except SinkUnavailable as error:
                if str(error) != said:
                    logger.error("sink %s: not connected: %s", self.name, error)
                said = str(error)

    def _come_up(self, connection: Connection) -> None:
        self._connection = connection
        self._tell(connection, Message(self._status, b"online", retain=True))
        if self._discovery is not None:
            connection.subscribe([self._discovery.birth, self._discovery.all])
            for device in self._devices:  # a broker that was started anew may have forgotten
                self._announce(connection, device, self._discovery)
        self._up.set()

    async def _introduce(self, connection: Connection, device: str, discovery: Discovery) -> None:
        """Let Home Assistant know of a device, and give it time to listen, before the first event."""
        now = asyncio.get_running_loop().time()
        if device not in self._devices:
            if len(self._devices) >= MAX_DEVICES:
                return
            self._devices[device] = now + LISTENING_AFTER
            self._announce(connection, device, discovery)
            if len(self._devices) == MAX_DEVICES:
                logger.error(
                    "sink %s: %d devices; no more are announced to Home Assistant; does `device` take "
                    "something that is new in each mail?",
                    self.name,
                    MAX_DEVICES,
                )
        if (pause := self._devices[device] - now) > 0:
            await asyncio.sleep(pause)

    def _received(self, message: Publish) -> None:
        """Home Assistant has started; or the broker tells of devices of earlier runs, or of one removed."""
        connection, discovery = self._connection, self._discovery
        if connection is None or discovery is None:
            return
        if message.topic == discovery.birth:
            for device in self._devices if message.payload == b"online" else ():
                self._announce(connection, device, discovery)
        elif not message.payload:
            self._devices = {
                each: at for each, at in self._devices.items() if discovery.topic(each) != message.topic
            }
        elif message.retained and (found := discovery.device(message.payload)) is not None:
            known = level(found)
            self._devices.setdefault(known, 0.0)
            if message.payload != discovery.payload(known):  # of an earlier version, or other settings
                self._announce(connection, known, discovery)

    def _announce(self, connection: Connection, device: str, discovery: Discovery) -> None:
        self._tell(connection, Message(discovery.topic(device), discovery.payload(device), retain=True))

    def _tell(self, connection: Connection, message: Message) -> None:
        """Publish what is no event; nobody waits for the answer, but a refusal is told."""
        connection.publish(message).add_done_callback(partial(self._told, message.topic))

    def _told(self, topic: str, answer: Answer) -> None:
        if not answer.cancelled() and is_failure(code := answer.result()):
            logger.error(
                "sink %s: the broker refuses what we publish to %s: %s", self.name, topic, reason(code)
            )


@lru_cache(4096)
def level(text: str) -> str:
    """One level of a topic out of any text: without +, #, /, and what no UTF-8 string of MQTT may have."""
    good = (c for c in text if c not in "+#/" and unicodedata.category(c) not in ("Cc", "Cn", "Cs"))
    return "".join(good).strip()[:MAX_LEVEL] or "unknown"


def fit(item: Converted, settings: MqttSettings, limit: int) -> bytes | None:
    """The event as JSON, shortened where it is too large; None: that does not suffice."""
    body = full(item, settings)
    if len(body) <= limit:
        return body
    short = msgspec.structs.replace(
        item.event,
        html=None,
        text=item.event.text[:SHORT_TEXT],
        defects=(*item.event.defects, "shortened for MQTT: without html, text cut"),
    )
    body = msgspec.json.encode(short)
    return body if len(body) <= limit else None


def _outcome(codes: set[int]) -> Outcome | None:
    if codes == {UNSENT}:
        return None
    for refusal in filter(is_failure, codes):
        return (Reject if refusal in UNFIT else Retry)(f"the broker refuses it: {reason(refusal)}")
    if codes & {LOST, UNSENT}:
        return Retry("the connection was lost before the broker acknowledged it")
    return Delivered()


async def _heard(answers: list[Answer]) -> bool:
    """Whether the broker has taken them all."""
    _, missing = await asyncio.wait(answers, timeout=FAREWELL_TIMEOUT)
    return not missing and all(code >= 0 and not is_failure(code) for code in map(Answer.result, answers))
