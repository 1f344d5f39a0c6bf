"""The receiving half of the journal in JetStream: append, over a connection of its own."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Self

from nats.aio.msg import Msg

from mailbell.clock import Clock
from mailbell.errors import JournalError, JournalFull, JournalUnavailable
from mailbell.histogram import Histogram
from mailbell.journal.health import Health
from mailbell.journal.large import Large
from mailbell.journal.repeats import Repeats
from mailbell.journal.stream import START_PATIENCE, Layout, connect, encode, prepare, until_there
from mailbell.mail import Mail
from mailbell.remote.jetstream import FULL, Ack, JetStream, JetStreamError
from mailbell.remote.nats import NatsLink, NatsUnavailable
from mailbell.settings import JournalSettings

PATIENCE = 10.0
"""Seconds for which a mail waits to be stored: longer than a new leader takes, shorter than clients wait."""

TRY = 3.0
PAUSE = 0.2
"""Seconds for one try, and until the next."""

LOOK_EVERY = 2.0
"""Seconds between two looks at whether the stream can be had."""

HEADER_ROOM = 512
"""Octets of a message that are not its body."""

logger = logging.getLogger("mailbell.journal")


class Publisher:
    """Stores mail. One that was refused may be there all the same: the client's next try is that mail."""

    def __init__(self, link: NatsLink, layout: Layout, clock: Clock, last: int) -> None:
        """The link is up, the stream is there and ends at `last`."""
        self._link = link
        self._layout = layout
        self._jetstream = JetStream(link)
        self._large = Large(self._jetstream, layout)
        self._repeats = Repeats(clock)
        self._health = Health(self._look, clock)
        self._appending: set[asyncio.Task[int]] = set()
        self._closed = False
        self._ill: JournalUnavailable | None = None
        self._looking: asyncio.Task[None] | None = None
        self._max_payload = 0
        self._clock = clock
        self.appends = Histogram()
        """How long mails took from append to the servers' answer."""
        self.last_sequence = last
        self.stored: Callable[[int], None] = lambda _: None
        """Called after each append with the newest sequence."""

    @classmethod
    async def open(cls, settings: JournalSettings, clock: Clock, patience: float = START_PATIENCE) -> Self:
        """Connect, and disconnect when closed. StartupError when servers or stream won't do."""
        link = await connect("journal (receiving)", settings, patience)
        try:
            layout = Layout(settings.stream, settings.replicas)
            info = await until_there(lambda: prepare(JetStream(link), layout), patience)
            publisher = cls(link, layout, clock, info.state.last_seq)
            await publisher.start()
        except BaseException:
            await link.stop()
            raise
        return publisher

    def __repr__(self) -> str:
        return f"<Publisher {self._layout.mail} at {self.last_sequence}>"

    async def start(self) -> None:
        """Hear what other nodes have answered."""
        self._link.on_up.append(self._listen)
        await self._listen()
        self._looking = asyncio.get_running_loop().create_task(self._look_for_ever())

    @property
    def trouble(self) -> JournalError | None:
        """What an append would raise at this moment, where that is known."""
        return self._health.trouble

    def append(self, mail: Mail) -> asyncio.Future[int]:
        """Store the mail; its sequence once as many servers have it as the stream has replicas."""
        loop = asyncio.get_running_loop()
        if self._closed:
            refused: asyncio.Future[int] = loop.create_future()
            refused.set_exception(JournalUnavailable("the journal is closed"))
            return refused
        task = loop.create_task(self._append(mail))
        self._appending.add(task)
        task.add_done_callback(self._appending.discard)
        return task

    async def close(self) -> None:
        """Finish what is under way, and disconnect."""
        self._closed = True
        if self._appending:
            await asyncio.wait(self._appending)
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        await self._link.stop()

    async def _append(self, mail: Mail) -> int:
        began = self._clock.monotonic()
        print_, id_ = self._repeats.begin(mail)
        try:
            ack = await self._stored(mail, id_)
        except JournalError as error:
            self._repeats.failed(print_, id_)
            self._health.failed(error)
            raise
        except BaseException:
            self._repeats.failed(print_, id_)
            raise
        self.appends.add(self._clock.monotonic() - began)
        self._health.worked()
        self._repeats.stored(print_)
        await self._announce(print_)
        if ack.duplicate:
            logger.info("mail %s has come before, and got no answer then: it is mail %d", mail.id, ack.seq)
        else:  # not the highest that there was: a stream that was made anew begins at 1
            self.last_sequence = ack.seq
            self.stored(ack.seq)
        return ack.seq

    async def _stored(self, mail: Mail, id_: str) -> Ack:
        body = encode(mail)
        subject = self._layout.subject
        if len(body) + HEADER_ROOM > self._max_payload:
            await self._large.put(id_, mail.raw)
            body, subject = encode(mail, id_), self._layout.large_subject(id_)
        headers = {"Nats-Msg-Id": id_, "Nats-Expected-Stream": self._layout.mail}
        return await self._until_stored(subject, body, headers)

    async def _until_stored(self, subject: str, body: bytes, headers: Mapping[str, str]) -> Ack:
        """Try until there is an answer: the id makes all tries one."""
        now = asyncio.get_running_loop().time
        until = now() + PATIENCE
        while True:
            left = until - now()
            try:
                return await self._jetstream.publish(subject, body, headers, within=max(min(TRY, left), 0.1))
            except JetStreamError as error:
                if error.error_code in FULL:
                    raise JournalFull(f"{error}; give the stream or its servers more room") from None
                if not error.passing:
                    raise JournalUnavailable(str(error)) from None
                reason = str(error)
            except NatsUnavailable as error:
                reason = str(error)
            if now() + PAUSE >= until:
                raise JournalUnavailable(reason)
            await asyncio.sleep(PAUSE)

    async def _look_for_ever(self) -> None:
        """That there is no quorum is to show, and its end too, also while nobody sends mail."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                found = await self._jetstream.stream(self._layout.mail, within=TRY)
            except (NatsUnavailable, JetStreamError) as error:
                self._ill = JournalUnavailable(str(error))
            else:
                gone = JournalUnavailable(f"there is no stream {self._layout.mail}")
                self._ill = gone if found is None else None

    def _look(self) -> JournalError | None:
        if self._link.up.is_set():
            return self._ill
        return JournalUnavailable(f"not connected to nats {self._link.options.addresses}")

    async def _listen(self) -> None:
        self._repeats.missed()
        self._max_payload = self._link.client.max_payload
        await self._link.client.subscribe(self._layout.answered, cb=self._heard)

    async def _heard(self, message: Msg) -> None:
        self._repeats.answered(message.data[:64].decode("ascii", "replace"))

    async def _announce(self, print_: str) -> None:
        try:
            await self._link.publish(self._layout.answered, print_.encode())
        except NatsUnavailable as error:
            logger.debug("%s", error)
