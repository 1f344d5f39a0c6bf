"""The lease in a key of JetStream's key-value store, changed by compare-and-set only.

Theory of operation. Who holds it writes the key anew at a third of its time, naming the revision before: so
the revision is the fence, and a node that was overtaken finds out at the latest when it writes. It counts its
time from *before* it asked. Who stands by looks at the key, and takes it once the revision has not changed
for the whole time, counted from *after* the answer that showed it. Each goes by a clock of its own that
nobody sets, and none needs to agree with another's: the holder's time is over before anybody else's begins.

A process that is stopped and goes on finds its time over at its next look at the clock, and it looks before
each delivery. The clock is one that goes on while the machine sleeps.

A key that is not there may have been deleted under a holder who does not know yet; it is waited for like any
other. A node that stops leaves the key free; one that was killed knows its own by what is in its data folder.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

import msgspec

from mailbell.clock import Clock, steady
from mailbell.lease.base import Mode, Standing
from mailbell.remote.jetstream import WRONG_LAST, JetStream, JetStreamError, Stored
from mailbell.remote.nats import NatsUnavailable

MARGIN = 0.05
"""The part of the lease that is left unused, for what is on its way out when it ends."""

LOOK_EVERY = 0.5
"""Seconds between two looks at another's lease; of a short one a tenth."""

SETTLED = 0.2
"""Seconds from finding no bucket to making one: a hundred times what nats-server 2.9 took to delete one."""

EXPECTED = "Nats-Expected-Last-Subject-Sequence"

logger = logging.getLogger("mailbell.lease")


class Holder(msgspec.Struct, frozen=True):
    """What is in the key. `folder` is the data folder's own mark, `process` that of one run on it."""

    node: str
    folder: str
    process: str
    seconds: float
    free: bool = False


class Seen(msgspec.Struct, frozen=True):
    """Another's lease as it was found, and by our clock since when it has not changed."""

    revision: int
    holder: Holder | None
    since: float


class JetStreamLease:
    """See `mailbell.lease.base.Lease`. To be started, and stopped when nothing is delivered any more."""

    def __init__(
        self,
        jetstream: JetStream,
        bucket: str,
        replicas: int,
        *,
        mode: Mode,
        node: str,
        folder: str,
        seconds: float,
        clock: Clock,
        now: Callable[[], float] | None = None,
    ) -> None:
        """With `active-standby` there is one key for all nodes, else each has its own."""
        self._jetstream = jetstream
        self._stream = f"KV_{bucket}"
        self._key = "active" if mode == "active-standby" else f"node.{node}"
        self._subject = f"$KV.{bucket}.{self._key}"
        self._replicas = replicas
        self._mode = mode
        self._holder = Holder(node, folder, secrets.token_hex(8), float(seconds))
        self._clock = clock
        self._now = now or steady
        self.before_renewal: Callable[[], Awaitable[None]] | None = None
        """Awaited each time: what was given to the holder of the lease is to be his for as long as it is."""
        self._term: int | None = None
        self._valid_until = 0.0
        self._revision = 0
        self._seen: Seen | None = None
        self._since = clock.time()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._young = True
        """Our own predecessor, whose key this may be, is surely dead."""

    def __repr__(self) -> str:
        return f"<JetStreamLease {self._key} of {self._holder.node}, term {self._term}>"

    @property
    def term(self) -> int | None:
        """The term that is held at this very moment; None: this node is not active."""
        if self._term is not None and self._now() >= self._valid_until:
            self._lose("the lease could not be renewed in time")
        return self._term

    @property
    def until(self) -> float | None:
        """When the term ends, unless it is renewed."""
        return self._valid_until

    @property
    def standing(self) -> Standing:
        """How this node stands."""
        active = self.term is not None
        other = self._seen.holder if self._seen is not None else None
        holder = self._holder.node if active else other.node if other is not None and not other.free else None
        return Standing(
            mode=self._mode, node=self._holder.node, active=active, since=self._since, holder=holder
        )

    async def other_than(self, term: int | None) -> int | None:
        """Return the term once it is another than this one."""
        while (current := self.term) == term:
            changed = self._changed
            left = None if self._term is None else max(0.0, self._valid_until - self._now())
            try:
                async with asyncio.timeout(left):
                    await changed.wait()
            except TimeoutError:
                continue
        return current

    async def start(self) -> None:
        """Begin; the first look is over when it returns. NatsUnavailable, JetStreamError."""
        await self._have_bucket()
        await self._try()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="lease")

    async def stop(self) -> None:
        """Let another have it at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self.term is None:
            return
        self._lose("this node stops")
        try:
            await self._write(msgspec.structs.replace(self._holder, free=True), self._revision)
        except (NatsUnavailable, JetStreamError) as error:
            logger.warning("the lease could not be given back, and runs out by itself: %s", error)

    async def _run(self) -> None:
        while True:
            held = self.term is not None
            soon = min(LOOK_EVERY, self._holder.seconds / 10)
            pause = self._holder.seconds / 3 if held else soon
            try:
                if not await self._look_after(held):
                    pause = soon
            except Exception:  # a bug in one round is not the end of the next
                logger.exception("looking after the lease failed")
            await asyncio.sleep(pause)

    async def _look_after(self, held: bool) -> bool:
        """Renew it, or try to have it; whether there was an answer."""
        try:
            await (self._renew() if held else self._try())
        except (NatsUnavailable, JetStreamError) as error:
            logger.debug("lease: %s", error)
            await self._make_bucket_anew()
            return False
        return True

    async def _make_bucket_anew(self) -> None:
        """Where it is gone there has to be a new one.

        Not at once: one that is made while nats-server 2.9 is still deleting the one before loses its files
        to that, and then acknowledges what it does not keep.
        """
        if self._term is not None:
            return
        try:
            if await self._jetstream.stream(self._stream) is None:
                await asyncio.sleep(SETTLED)
                await self._have_bucket()
        except (NatsUnavailable, JetStreamError) as error:
            logger.debug("lease: no new bucket: %s", error)

    async def _renew(self) -> None:
        began = self._now()
        if self.before_renewal is not None:
            await self.before_renewal()
        try:
            revision = await self._write(self._holder, self._revision)
        except JetStreamError as error:
            if error.error_code in WRONG_LAST:
                await self._was_overtaken()
                return
            raise
        if self.term is not None:
            self._revision, self._valid_until = revision, began + self._length

    async def _was_overtaken(self) -> None:
        """By another, or by a write of our own whose answer was lost: then we go on from that."""
        found, holder = await self._read()
        if found is not None and holder is not None and holder.process == self._holder.process:
            self._revision = found.seq
            await self._renew()
        else:
            self._lose("another node has taken over" if holder else "the key of the lease was deleted")

    async def _try(self) -> None:
        """Look at the lease, and take it if it is to be had."""
        found, holder = await self._read()
        now, revision = self._now(), 0 if found is None else found.seq
        if self._seen is None or self._seen.revision != revision:
            self._seen = Seen(revision, holder, now)
            self._say_so_if_taken(holder)
        if not self._may_take(holder, now - self._seen.since):
            return
        began = self._now()
        try:
            self._revision = await self._write(self._holder, revision)
        except JetStreamError as error:
            if error.error_code not in WRONG_LAST:
                raise
            return  # another was quicker
        self._win(began)

    def _say_so_if_taken(self, holder: Holder | None) -> None:
        if holder is None or holder.free or self._mode == "active-standby":
            return
        if holder.folder != self._holder.folder:
            logger.warning(
                "another node is called %s; until it is gone this one delivers nothing. Set another ha.node",
                holder.node,
            )

    def _may_take(self, holder: Holder | None, unchanged: float) -> bool:
        """Who was killed and is back knows that nobody is active by its own name."""
        if holder is not None:
            mine = holder.process == self._holder.process
            predecessor = self._young and holder.folder == self._holder.folder
            if holder.free or mine or predecessor:
                return True
            self._young = False
        return unchanged >= max(self._holder.seconds, holder.seconds if holder is not None else 0.0)

    def _win(self, began: float) -> None:
        self._valid_until = began + self._length
        self._term = self._revision
        self._young = False
        self._change("%s is active", self._holder.node)

    def _lose(self, why: str) -> None:
        self._term = None
        self._seen = None
        self._change("%s is no longer active: %s", self._holder.node, why)

    def _change(self, text: str, *values: str) -> None:
        logger.log(logging.INFO if self._term is not None else logging.WARNING, text, *values)
        self._since = self._clock.time()
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def _length(self) -> float:
        return self._holder.seconds * (1 - MARGIN)

    async def _have_bucket(self) -> None:
        """One that is there already stays as it is."""
        if await self._jetstream.stream(self._stream) is None:
            await self._jetstream.create_stream(_bucket(self._stream, self._replicas))

    async def _read(self) -> tuple[Stored | None, Holder | None]:
        found = await self._jetstream.last(self._stream, self._subject)
        if found is None:
            return None, None
        try:
            return found, msgspec.json.decode(found.data, type=Holder)
        except msgspec.MsgspecError:
            return found, None  # somebody else's value, or a marker of deletion

    async def _write(self, holder: Holder, expected: int) -> int:
        ack = await self._jetstream.publish(
            self._subject,
            msgspec.json.encode(holder),
            {EXPECTED: str(expected)},
            within=max(0.3, holder.seconds / 3),
        )
        return ack.seq


def _bucket(stream: str, replicas: int) -> dict[str, object]:
    """As every client makes a key-value bucket."""
    return {
        "name": stream,
        "subjects": [f"$KV.{stream.removeprefix('KV_')}.>"],
        "storage": "file",
        "num_replicas": replicas,
        "max_msgs_per_subject": 1,
        "discard": "new",
        "allow_rollup_hdrs": True,
        "deny_delete": True,
        "allow_direct": True,
    }
