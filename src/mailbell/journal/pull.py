"""What a durable consumer of JetStream hands out: asked for in portions, as there is demand."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error

from mailbell.remote.jetstream import PREFIX
from mailbell.remote.nats import NatsLink, NatsUnavailable

HEARTBEAT, EXPIRED = "100", "408"

EXPIRES = 5.0
"""Seconds that a request stands. It is lost when the consumer gets another leader, and then made anew."""

AGAIN = 0.5
"""Seconds until the next one where there was no consumer to hear it."""

logger = logging.getLogger("mailbell.journal")


class Delivery(msgspec.Struct, frozen=True):
    """A message that was handed to us; it is answered at `reply`."""

    reply: str
    sequence: int
    """In its stream."""
    pending: int
    """How many there were behind it."""
    data: bytes


class Pull:
    """The subscription behind one durable consumer; one request stands at a time.

    It is for a single message where none is known to be there. So little is on its way to a node that stops,
    and nats-server 2.9 can stand no request whose subscription has gone when something is handed back: it
    forgets that for `ack_wait`, and sends another message twice.
    """

    def __init__(
        self,
        link: NatsLink,
        stream: str,
        consumer: str,
        took: Callable[[Delivery], None],
        ended: Callable[[], None],
    ) -> None:
        """`took` is called for each message, `ended` when a request is over without all that it asked for."""
        self._link = link
        self._next = f"{PREFIX}.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._took = took
        self._ended = ended
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._left = 0
        self._pending = 0
        self._over = asyncio.Event()
        self._until = 0.0
        """By the loop's clock: until when the request stands, or until when it makes no sense to ask."""
        self._sending: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Pull {self._next}, {self._left} asked for>"

    @property
    def until(self) -> float:
        """By the loop's clock, when it has to be asked again."""
        return self._until

    def forget(self) -> None:
        """Let go of all that is still to come; what is asked for next comes to a new inbox."""
        self._left, self._until, self._inbox = 0, 0.0, ""

    async def end(self) -> None:
        """The server is to send no more: it looks for who listens."""
        self.forget()
        old, self._subscription = self._subscription, None
        if old is not None:
            with suppress(Error):  # it went with its connection
                await old.unsubscribe()

    async def subscribe(self) -> None:
        """Begin, or begin anew: on a new connection, or after `forget`."""
        client = self._link.client
        await self.end()
        inbox = self._inbox = client.new_inbox()
        try:
            self._subscription = await client.subscribe(inbox, cb=partial(self._arrived, inbox))
        except (Error, OSError) as error:
            raise NatsUnavailable(str(error)) from None

    def ask(self, batch: int) -> None:
        """Have up to so many sent, unless what was asked for is still to come."""
        now = asyncio.get_running_loop().time()
        if now < self._until or not self._link.up.is_set():
            return
        self._stand(max(1, min(batch, self._pending)))
        self._sending = asyncio.get_running_loop().create_task(self._ask(self._left))

    async def exhaust(self, patience: float) -> None:
        """Wait until what was asked for has come; but no longer than this."""
        if self._left:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._over.wait()

    def _stand(self, batch: int) -> None:
        self._left, self._until = batch, asyncio.get_running_loop().time() + EXPIRES + 0.5
        self._over.clear()

    async def _ask(self, batch: int) -> None:
        body = msgspec.json.encode({"batch": batch, "expires": int(EXPIRES * 1e9)})
        try:
            if not self._inbox:
                await self.subscribe()
                self._stand(batch)
            await self._link.publish(self._next, body, self._inbox)
        except NatsUnavailable as error:
            logger.debug("%s", error)
            self._until = 0.0

    async def _arrived(self, inbox: str, message: Msg) -> None:
        if inbox != self._inbox:
            return
        if message.reply.startswith("$JS.ACK."):
            delivery = _delivery(message)
            self._pending = delivery.pending
            self._left -= 1
            if self._left <= 0:
                self._until = 0.0
                self._over.set()
            self._took(delivery)
            return
        status = (message.headers or {}).get("Status")
        if status != HEARTBEAT:
            self._left = 0
            self._over.set()
            self._until = 0.0 if status == EXPIRED else asyncio.get_running_loop().time() + AGAIN
            self._ended()


def _delivery(message: Msg) -> Delivery:
    """`$JS.ACK.stream.consumer.tries.sequence.…`; newer servers put domain and account in front."""
    tokens = message.reply.split(".")
    if len(tokens) > 9:
        del tokens[2:4]
    return Delivery(message.reply, int(tokens[5]), int(tokens[8]), message.data)
