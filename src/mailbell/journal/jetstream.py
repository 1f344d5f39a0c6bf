"""The clustered engine: mail in a JetStream stream, a durable consumer for each sink, shared by the nodes.

```
append ─▶ Publisher, perhaps in another process: acknowledged by as many servers as there are replicas
fetch, ack, retry, park ─▶ SharedConsumer ─▶ JetStream keeps who has what
read ─▶ recent mail, else the stream, else the object store
```
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Protocol, Self

from mailbell.clock import Clock
from mailbell.errors import JournalError, JournalUnavailable, MailGone
from mailbell.journal import stream
from mailbell.journal.base import Appender
from mailbell.journal.large import Large
from mailbell.journal.recent import Recent
from mailbell.journal.shared import SharedConsumer
from mailbell.journal.stream import START_PATIENCE, Layout
from mailbell.journal.trim import Trimmer
from mailbell.mail import Mail
from mailbell.remote.jetstream import JetStream, JetStreamError, StreamInfo
from mailbell.remote.nats import NatsLink, NatsUnavailable
from mailbell.settings import JournalSettings

LOOK_EVERY = 1.0
REFRESH_EVERY = 3.0
"""Seconds between two looks at the stream, and at how far all have come."""

RECENT_OCTETS = 32 * 2**20
GONE_AFTER = 7 * 86400
"""Seconds after which the consumers of a node that is never seen again are removed."""

YOUNG = 60.0
"""Seconds for which a stream is just made."""

PROGRESS = b"+WPI"

Term = Callable[[], int | None]

logger = logging.getLogger("mailbell.journal")


class Receives(Appender, Protocol):
    """The receiving half as the other one sees it: here, or in another process."""

    @property
    def last_sequence(self) -> int:
        """The newest mail of this node."""
        ...


class JetStreamJournal:
    """See `mailbell.journal.base.Journal`."""

    def __init__(
        self,
        receives: Receives,
        link: NatsLink,
        layout: Layout,
        settings: JournalSettings,
        clock: Clock,
        node: str,
        lease: float,
        term: Term,
        info: StreamInfo,
    ) -> None:
        """For `beside`. `term` tells the lease that is held: without, nothing shared comes."""
        self.link = link
        self.layout = layout
        self.broken: JournalUnavailable | None = None
        """Why nothing goes on until a restart."""
        self.on_broken: Callable[[JournalUnavailable], None] = lambda _: None
        self._receives = receives
        self._clock = clock
        self._node = node
        self._lease = lease
        self._term = term
        self._jetstream = JetStream(link)
        self._large = Large(self._jetstream, layout)
        self._created = info.created
        self._last = info.state.last_seq
        self._distrusts = receives.last_sequence > info.state.last_seq
        """The receiving half knows of another stream, which there was before this one."""
        self._trimmer = Trimmer(self._jetstream, layout, self._large, settings, clock)
        self._consumers: dict[str, SharedConsumer] = {}
        self._recent = Recent(RECENT_OCTETS)
        self._reading: dict[int, asyncio.Task[Mail]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.all_is_new = False
        self._closed = False

    @classmethod
    async def beside(
        cls,
        receives: Receives,
        link: NatsLink,
        settings: JournalSettings,
        clock: Clock,
        *,
        node: str,
        lease: float,
        term: Term,
        patience: float = START_PATIENCE,
        starting: bool = False,
    ) -> Self:
        """The delivering half beside the other one, which like the connection stays its owner's to close.

        What a node called `node` has in hand is another's when it has not been heard of for `lease` seconds.
        `starting`: until the first trim, consumers of a stream that is just made see what is in it already:
        it came in when nobody could ask for them, since the stream before was deleted.
        """
        layout = Layout(settings.stream, settings.replicas)
        info = await stream.until_there(lambda: stream.prepare(JetStream(link), layout), patience)
        for line in stream.cautions(info.config, settings):
            logger.warning("%s", line)
        journal = cls(receives, link, layout, settings, clock, node, lease, term, info)
        journal.all_is_new = starting and time.time() < _seconds(info.created) + YOUNG
        journal._start()
        return journal

    def __repr__(self) -> str:
        return f"<JetStreamJournal {self.layout.mail} at {self.last_sequence}>"

    def _start(self) -> None:
        """Look after the stream and the consumers from now on."""
        self.link.on_up.append(self._resubscribe)
        loop = asyncio.get_running_loop()
        for work, every in (
            (self._look, LOOK_EVERY),
            (self.keep, self._lease / 4),
            (self._refresh, REFRESH_EVERY),
        ):
            self._tasks.append(loop.create_task(_repeat(work, every)))

    @property
    def last_sequence(self) -> int:
        """The sequence of the newest mail, as far as is known here; 0 when there has been none."""
        return max(self._last, 0 if self._distrusts else self._receives.last_sequence)

    @property
    def trouble(self) -> JournalError | None:
        """What an append would raise at this moment, where that is known; None when all is well."""
        return self._receives.trouble

    def append(self, mail: Mail) -> asyncio.Future[int]:
        """Store the mail; its sequence once as many servers have it as the stream has replicas."""
        return self._receives.append(mail)

    def stored_up_to(self, sequence: int) -> None:
        """Hear of the newest mail."""
        if not self._distrusts:
            self._saw(sequence)

    def _saw(self, sequence: int) -> None:
        self._last = max(self._last, sequence)

    async def read(self, sequence: int) -> Mail:
        """Return the mail of this sequence, or raise MailGone."""
        self._check_open()
        mail = self._recent.get(sequence)
        if mail is not None:
            return mail
        task = self._reading.get(sequence)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._load(sequence))
            self._reading[sequence] = task
            task.add_done_callback(lambda _: self._reading.pop(sequence))
        return await asyncio.shield(task)

    async def stored(self, after: int, until: int, limit: int) -> list[int]:
        """Return the first `limit` sequences with `after < sequence <= until` whose mail is here."""
        self._check_open()
        info = await stream.asked(self._jetstream.stream(self.layout.mail, deleted=True))
        if info is None:
            raise JournalUnavailable(f"the stream {self.layout.mail} is gone")
        return list(islice(stream.there(info, after, until), limit))

    async def consumer(self, name: str, *, own: bool = False) -> SharedConsumer:
        """Return the durable consumer of this name; with `own`, this node's."""
        self._check_open()
        if name not in self._consumers:
            consumer = await self._make(name, own)
            self._consumers.setdefault(name, consumer)
        return self._consumers[name]

    async def dismiss(self, name: str) -> None:
        """Close a consumer; all it had is kept."""
        consumer = self._consumers.pop(name, None)
        if consumer is not None:
            await consumer.close()

    async def forget(self, name: str) -> None:
        """Remove a consumer and all it had."""
        await self.dismiss(name)
        for durable in (name, self._own(name)):
            for where in (self.layout.mail, self.layout.state):
                await stream.asked(self._jetstream.delete_consumer(where, durable))
            for pattern in (self.layout.again(durable, "*"), self.layout.parked(durable, "*", "*")):
                await stream.asked(self._jetstream.purge(self.layout.state, filter=pattern))

    async def trim(self) -> int:
        """Remove mail that is past the settings' age or size; return how much. The active node does it."""
        self._check_open()
        self.all_is_new = False
        if self._term() is None:
            return 0
        until, held = self.last_sequence - 1, set[int]()
        for consumer in list(self._consumers.values()):
            until = min(until, await consumer.refresh())
            held.update(consumer.waiting)
            held.update(each.sequence for each in await consumer.parked())
        removed = await stream.asked(self._trimmer.trim(until, held))
        self._recent.drop(removed)
        return len(removed)

    async def keep(self) -> None:
        """Tell the server that what this node has in hand is being worked on."""
        for consumer in list(self._consumers.values()):
            for reply in await consumer.keep():
                await self.link.publish(reply, PROGRESS)

    async def close(self) -> None:
        """Take claims back, and let the server know all that was answered."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await asyncio.gather(*(consumer.close() for consumer in self._consumers.values()))

    async def _make(self, name: str, own: bool) -> SharedConsumer:
        durable = self._own(name) if own else name
        await stream.asked(self._ensure(durable, own))
        consumer = SharedConsumer(
            name,
            durable,
            self.link,
            self.layout,
            lambda: self.last_sequence,
            (lambda: 1) if own else self._term,
            self._clock,
            self._see,
        )
        await stream.asked(consumer.start())
        return consumer

    def _own(self, name: str) -> str:
        """No sink's name has an @."""
        return f"{name}@{self._node}"

    async def _ensure(self, durable: str, own: bool) -> None:
        """The two durable consumers: a new one starts after the mail that is there now."""
        common = {
            "durable_name": durable,
            "ack_policy": "explicit",
            "ack_wait": int(self._lease * 1e9),
            "max_deliver": -1,
            "max_ack_pending": -1,
            "replay_policy": "instant",
            **({"inactive_threshold": int(GONE_AFTER * 1e9)} if own else {}),
        }
        there = await self._jetstream.consumer(self.layout.mail, durable)
        start = self._last + 1 if there is None else there.config.get("opt_start_seq", 1)
        if there is None:
            info = await self._jetstream.stream(self.layout.mail)
            start = start if info is None else info.state.last_seq + 1
            start = 1 if self.all_is_new else start
        mail = {
            **common,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": start,
            "headers_only": not own,
        }
        state = {**common, "deliver_policy": "all", "filter_subject": self.layout.again(durable, "*")}
        await self._jetstream.create_consumer(self.layout.mail, mail)
        await self._jetstream.create_consumer(self.layout.state, state)

    def _see(self, sequence: int, body: bytes) -> None:
        """Mail that came along with its event need not be read."""
        self._saw(sequence)
        meta, raw = stream.decode(body)
        if meta.large is None:
            self._recent.add(sequence, stream.whole(meta, raw))

    async def _load(self, sequence: int) -> Mail:
        found = await stream.asked(self._jetstream.get(self.layout.mail, sequence)) if sequence > 0 else None
        if found is None:
            raise MailGone(
                f"mail {sequence} is not in the journal: removed by retention, or not received yet"
            )
        meta, raw = stream.decode(found.data)
        mail = stream.whole(meta, raw if meta.large is None else await self._large.get(meta.large))
        self._recent.add(sequence, mail)
        return mail

    async def _resubscribe(self) -> None:
        for consumer in list(self._consumers.values()):
            with suppress(NatsUnavailable):  # then this connection is gone too, and there will be another
                await consumer.resubscribe()

    async def _look(self) -> None:
        """How far the stream has come, and whether it still is the same one."""
        info = await self._jetstream.stream(self.layout.mail)
        if info is not None and info.created == self._created:
            self._saw(info.state.last_seq)
            return
        what = "is gone" if info is None else "is another one than at the start"
        if self.broken is None:
            self.broken = JournalUnavailable(
                f"the stream {self.layout.mail} {what}: it was deleted, or its servers have lost their data; "
                "restart mailbell to go on with what is there now"
            )
            logger.error("%s", self.broken)
            self.on_broken(self.broken)

    async def _refresh(self) -> None:
        for consumer in list(self._consumers.values()):
            await consumer.refresh()

    def _check_open(self) -> None:
        if self._closed:
            raise JournalUnavailable("the journal is closed")


def _seconds(moment: str) -> float:
    """From RFC 3339 with nanoseconds."""
    return datetime.fromisoformat(f"{moment[:19]}+00:00").timestamp()


async def _repeat(work: Callable[[], Awaitable[None]], every: float) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            await work()
        except (NatsUnavailable, JetStreamError, JournalError) as error:
            logger.debug("%s", error)
        except Exception:  # a bug in one round is not the end of the next
            logger.exception("looking after the journal failed")
