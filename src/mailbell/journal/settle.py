"""Answers to the server, in the background: gathered, sent in order, and sent again until it has them."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from mailbell.errors import JournalUnavailable
from mailbell.remote.jetstream import JetStream, JetStreamError
from mailbell.remote.nats import NatsLink, NatsUnavailable

ACK = b"+ACK"
WITHIN = 3.0
AGAIN = 0.25
"""Seconds for an answer of the server, and until the next try."""

PATIENCE = 30.0
"""Seconds after which an answer that nobody hears is let go: the consumer is gone, or has others by now."""

CLOSING = 5.0

logger = logging.getLogger("mailbell.journal")


class Settler:
    """Losing what is not sent yet means a repeat, never a loss."""

    def __init__(self, link: NatsLink) -> None:
        self._link = link
        self._jetstream = JetStream(link)
        self._answers: list[tuple[str, bytes]] = []
        self._answering: asyncio.Task[None] | None = None
        self._puts: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Settler, {len(self._answers)} answers and {len(self._puts)} messages to send>"

    def ack(self, reply: str) -> None:
        """This is settled."""
        self._say(reply, ACK)

    def back(self, reply: str, delay: float = 0.0) -> None:
        """This is to be handed out again, after so many seconds."""
        self._say(reply, b"-NAK" if delay <= 0 else b'-NAK {"delay": %d}' % int(delay * 1e9))

    def put(self, subject: str, body: bytes, reply: str, stored: Callable[[], None]) -> None:
        """This is settled once the message is stored that says what becomes of it; `stored` is told."""
        task = asyncio.get_running_loop().create_task(self._put(subject, body, reply, stored))
        self._puts.add(task)
        task.add_done_callback(self._puts.discard)

    async def flush(self) -> None:
        """Return when the server has all of it; JournalUnavailable when it is not to be had."""
        now = asyncio.get_running_loop().time
        until = now() + CLOSING
        while self._puts or self._answering is not None:
            if not self._link.up.is_set() or now() > until:
                raise JournalUnavailable(f"nats {self._link.options.addresses} does not take our answers")
            waiting = [*self._puts, *([self._answering] if self._answering else [])]
            await asyncio.wait(waiting, timeout=AGAIN)

    async def close(self) -> None:
        """Send what is left, as far as that is possible soon."""
        with suppress(JournalUnavailable):
            await self.flush()
        left = [*self._puts, *([self._answering] if self._answering else [])]
        for task in left:
            task.cancel()
        if left:
            logger.warning("the server has not heard of %d answers; those events come again", len(left))
            await asyncio.wait(left)

    def _say(self, reply: str, what: bytes) -> None:
        self._answers.append((reply, what))
        if self._answering is None:
            self._answering = asyncio.get_running_loop().create_task(self._answer_all())

    async def _answer_all(self) -> None:
        try:
            while self._answers:
                answers, self._answers = self._answers, []
                await self._answer(answers)
        finally:
            self._answering = None

    async def _answer(self, answers: list[tuple[str, bytes]]) -> None:
        """One after the other; when the server has heard the last, it has heard all."""
        now = asyncio.get_running_loop().time
        until = now() + PATIENCE
        while now() < until:
            try:
                for reply, what in answers[:-1]:
                    await self._link.publish(reply, what)
                reply, what = answers[-1]
                await self._link.request(reply, what, within=WITHIN)
            except NatsUnavailable as error:
                logger.debug("answers are sent again: %s", error)
                await self._pause()
            else:
                return

    async def _put(self, subject: str, body: bytes, reply: str, stored: Callable[[], None]) -> None:
        while True:
            try:
                await self._jetstream.publish(subject, body, within=WITHIN)
            except (NatsUnavailable, JetStreamError) as error:
                logger.debug("%s is stored again: %s", subject, error)
                await self._pause()
            else:
                stored()
                self.ack(reply)
                return

    async def _pause(self) -> None:
        await asyncio.sleep(AGAIN)
        await self._link.up.wait()
