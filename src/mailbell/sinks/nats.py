"""The nats sink: each event published to a subject, acknowledged by JetStream.

While no server is there, deliveries wait: that is no event's fault, and all flows again once there is one.
What was under way when the connection broke is tried again; by its `Nats-Msg-Id` a stream drops the repeat.
"""

import asyncio
import itertools
import logging
import re
from contextlib import suppress

from nats.aio.client import Client
from nats.errors import Error, MaxPayloadError
from nats.js import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError

from mailbell.errors import SinkUnavailable
from mailbell.event.convert import Converted
from mailbell.event.template import Template
from mailbell.settings import NatsSettings
from mailbell.sinks import payload
from mailbell.sinks.base import Delivered, Outcome, Reject, Retry
from mailbell.sinks.secrets import Mask
from mailbell.sinks.tls import client_context

RECONNECT_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before each try to connect again; the last one repeats."""

CLOSE_TIMEOUT = 0.5

LONGEST_FIELD = 100
LONGEST_SUBJECT = 2000
"""Characters and octets. A server cuts the connection of who sends a line of over 4096 octets."""

MESSAGE_TOO_LARGE = 10054
"""JetStream's err_code for a message above the stream's max_msg_size."""

_NO_TOKEN = re.compile(r"[.*>\s\x00-\x1f\x7f]")

logger = logging.getLogger("mailbell.nats")


class NatsSink:
    """One server, or a cluster of them."""

    sequential = False

    def __init__(self, name: str, settings: NatsSettings) -> None:
        self.name = name
        self._settings = settings
        self._subject = Template(settings.subject)
        userinfos = (url.rpartition("@")[0].rpartition("/")[2] for url in settings.servers)
        parts = (part for each in userinfos for part in (each, *each.split(":")))
        self._mask = Mask([settings.password, settings.token, *parts])
        self._client: Client | None = None
        self._stream: JetStreamContext
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<NatsSink {self.name}: {self._settings.describe()}>"

    async def start(self) -> None:
        """Connect, and stay so; SinkUnavailable says why that is not possible now."""
        await self._connect()
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name=f"sink {self.name}")

    async def deliver(self, item: Converted) -> Outcome:
        """Publish the event once there is a server."""
        subject = self._subject.render(item.event, _token)
        if len(subject.encode()) > LONGEST_SUBJECT:
            return Reject(f"the subject would have over {LONGEST_SUBJECT} octets: {subject[:100]}…")
        body = item.value.encode() if self._settings.body == "hsyco" else payload.full(item, self._settings)
        await self._up.wait()
        try:
            return await self._publish(subject, body, item.event.id)
        except MaxPayloadError:
            return Reject(f"the event of {len(body)} octets is larger than the server's max_payload")
        except NoStreamResponseError:
            return Retry(
                f"no stream takes the subject {subject}: add one to the server, or set jetstream = false"
            )
        except APIError as error:
            said = self._mask(f"JetStream: {error.description} ({error.err_code})")
            return (Reject if error.err_code == MESSAGE_TOO_LARGE else Retry)(said)
        except (Error, OSError, TimeoutError) as error:
            if self._client is None or not self._client.is_connected:
                self._lost()
            return Retry(self._mask(f"{type(error).__name__}: {error}"))

    async def stop(self) -> None:
        """Disconnect."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        if self._client is not None:
            await _close(self._client)

    async def _publish(self, subject: str, body: bytes, id_: str) -> Outcome:
        assert self._client is not None  # noqa: S101  for mypy: it is up
        headers, timeout = {"Nats-Msg-Id": id_}, self._settings.timeout
        if self._settings.jetstream:
            await self._stream.publish(subject, body, timeout=timeout, headers=headers)
        else:
            await self._client.publish(subject, body, headers=headers)
            await self._client.flush(timeout)  # type: ignore[arg-type]  # a number of any kind does
        return Delivered()

    async def _keep(self) -> None:
        while True:
            await self._down.wait()
            logger.warning("sink %s: the connection to %s is lost", self.name, self._settings.describe())
            for attempt in itertools.count():
                await asyncio.sleep(RECONNECT_DELAYS[min(attempt, len(RECONNECT_DELAYS) - 1)])
                try:
                    await self._connect()
                    break
                except SinkUnavailable as error:
                    logger.warning("sink %s: not connected: %s", self.name, error)
            logger.info("sink %s: connected again", self.name)

    async def _connect(self) -> None:
        """One client for one connection: nats-py gives up for good after some errors of a server."""
        settings = self._settings
        secure = (
            settings.ca or settings.certificate or any(url.startswith("tls:") for url in settings.servers)
        )
        context = client_context(settings.ca, settings.certificate, settings.key) if secure else None
        client, errors = Client(), list[Exception]()

        async def on_error(error: Exception) -> None:
            errors.append(error)
            del errors[:-1]

        async def on_close() -> None:
            if client is self._client:
                self._lost()

        try:
            async with asyncio.timeout(settings.timeout):
                await client.connect(
                    list(settings.servers),
                    name="mailbell",
                    user=settings.user or None,
                    password=settings.password or None,
                    token=settings.token or None,
                    tls=context,
                    error_cb=on_error,
                    closed_cb=on_close,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=settings.timeout,  # type: ignore[arg-type]
                )
        except (Error, OSError, TimeoutError) as error:
            await _close(client)
            why = str((errors or [error])[-1]) or f"no answer within {settings.timeout:g} s"
            raise SinkUnavailable(f"{settings.describe()}: {self._mask(why)}") from None
        self._client, self._stream = client, client.jetstream()
        self._down.clear()
        self._up.set()

    def _lost(self) -> None:
        self._up.clear()
        self._down.set()


async def _close(client: Client) -> None:
    """nats-py 2.16 waits for ever for the end of a connection whose TLS handshake failed."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await client.close()


def _token(text: str) -> str:
    """What a field brings is one token of the subject."""
    return _NO_TOKEN.sub("_", text[:LONGEST_FIELD]) or "_"
