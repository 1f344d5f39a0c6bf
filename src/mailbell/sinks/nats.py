"""The nats sink: each event published to a subject, acknowledged by JetStream.

While no server is there, deliveries wait: that is no event's fault, and all flows again once there is one.
What was under way when the connection broke is tried again; by its `Nats-Msg-Id` a stream drops the repeat.
"""

import re

from nats.errors import MaxPayloadError
from nats.js.errors import APIError, NoStreamResponseError

from mailbell.errors import SinkUnavailable
from mailbell.event.convert import Converted
from mailbell.event.template import Template
from mailbell.remote.nats import BROKEN, NatsLink, NatsOptions, NatsUnavailable
from mailbell.settings import NatsSettings
from mailbell.sinks import payload
from mailbell.sinks.base import Delivered, Outcome, Reject, Retry

RECONNECT_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before each try to connect again; the last one repeats."""

LONGEST_FIELD = 100
LONGEST_SUBJECT = 2000
"""Characters and octets. A server cuts the connection of who sends a line of over 4096 octets."""

MESSAGE_TOO_LARGE = 10054
"""JetStream's err_code for a message above the stream's max_msg_size."""

_NO_TOKEN = re.compile(r"[.*>\s\x00-\x1f\x7f]")


class NatsSink:
    """One server, or a cluster of them."""

    sequential = False

    def __init__(self, name: str, settings: NatsSettings) -> None:
        self.name = name
        self._settings = settings
        self._subject = Template(settings.subject)
        self._link = NatsLink(f"sink {name}", _options(settings), RECONNECT_DELAYS)

    def __repr__(self) -> str:
        return f"<NatsSink {self.name}: {self._settings.describe()}>"

    async def start(self) -> None:
        """Connect, and stay so; SinkUnavailable says why that is not possible now."""
        try:
            await self._link.start()
        except NatsUnavailable as error:
            raise SinkUnavailable(str(error)) from None

    async def deliver(self, item: Converted) -> Outcome:
        """Publish the event once there is a server."""
        subject = self._subject.render(item.event, _token)
        if len(subject.encode()) > LONGEST_SUBJECT:
            return Reject(f"the subject would have over {LONGEST_SUBJECT} octets: {subject[:100]}…")
        body = item.value.encode() if self._settings.body == "hsyco" else payload.full(item, self._settings)
        await self._link.up.wait()
        try:
            return await self._publish(subject, body, item.event.id)
        except MaxPayloadError:
            return Reject(f"the event of {len(body)} octets is larger than the server's max_payload")
        except NoStreamResponseError:
            return Retry(
                f"no stream takes the subject {subject}: add one to the server, or set jetstream = false"
            )
        except APIError as error:
            said = self._link.mask(f"JetStream: {error.description} ({error.err_code})")
            return (Reject if error.err_code == MESSAGE_TOO_LARGE else Retry)(said)
        except NatsUnavailable as error:
            return Retry(str(error))
        except BROKEN as error:
            self._link.look()
            return Retry(self._link.mask(f"{type(error).__name__}: {error}"))

    async def stop(self) -> None:
        """Disconnect."""
        await self._link.stop()

    async def _publish(self, subject: str, body: bytes, id_: str) -> Outcome:
        client = self._link.client
        headers, timeout = {"Nats-Msg-Id": id_}, self._settings.timeout
        if self._settings.jetstream:
            await client.jetstream().publish(subject, body, timeout=timeout, headers=headers)
        else:
            await client.publish(subject, body, headers=headers)
            for _ in range(2):  # nats-py's first PING overtakes what waits to be sent
                await client.flush(timeout)  # type: ignore[arg-type]  # a number of any kind does
        return Delivered()


def _options(settings: NatsSettings) -> NatsOptions:
    return NatsOptions(
        servers=settings.servers,
        user=settings.user,
        password=settings.password,
        token=settings.token,
        ca=settings.ca,
        certificate=settings.certificate,
        key=settings.key,
        timeout=settings.timeout,
    )


def _token(text: str) -> str:
    """What a field brings is one token of the subject."""
    return _NO_TOKEN.sub("_", text[:LONGEST_FIELD]) or "_"
