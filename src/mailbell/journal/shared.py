"""A durable consumer in JetStream, which several nodes may share: the server keeps who has which event.

```
stream MAILBELL ──────▶ new mail ──▶ _fresh ──▶ claimed ─┬─ ack ──▶ +ACK
stream MAILBELL_STATE ▶ what waits ▶ _turns ──▶ claimed ─┼─ retry ▶ a message in MAILBELL_STATE, then +ACK
                                                         └─ park ─▶ the same, then +ACK
```
Whatever is in hand here (fresh, waiting for a time that is near, claimed) is the server's to give to another
node, unless it hears from us: `keep` says so now and then, and with each renewal of the lease. Without the
lease all of it counts for nothing. What waits for a time that is far is handed back until shortly before.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from mailbell.clock import Clock
from mailbell.errors import JournalUnavailable
from mailbell.journal.aside import Aside
from mailbell.journal.base import Claim, Fate, Parked, State
from mailbell.journal.pull import Delivery, Pull
from mailbell.journal.settle import Settler
from mailbell.journal.stream import Layout, asked
from mailbell.journal.turns import Hand, Turn, Turns, Waiting
from mailbell.remote.jetstream import JetStream
from mailbell.remote.nats import NatsLink

MAX_WAITING = 100_000
"""No new events come while so many wait for a retry: a receiver that is clearly down."""

NEAR = 30.0
"""Seconds: what is due sooner is kept in hand, for the time to be met exactly."""

PORTION = 256
"""How many of those that wait are asked for at once."""

REMEMBERED = 10_000
"""How many settled events are remembered, should the server not have heard of it."""

IDLE = 1.0
"""Seconds after which what nobody fetches is handed back, for other nodes."""

BACK_WITHIN = 0.3
"""Seconds for what is on its way here, before no more is taken."""

logger = logging.getLogger("mailbell.journal")


class SharedConsumer:
    """See `mailbell.journal.base.Consumer`."""

    def __init__(
        self,
        name: str,
        durable: str,
        link: NatsLink,
        layout: Layout,
        last: Callable[[], int],
        term: Callable[[], int | None],
        clock: Clock,
        seen: Callable[[int, bytes], None],
    ) -> None:
        """`last` tells the newest sequence, `term` the lease that is held; `seen` gets mail that comes along.

        To be `start`ed.
        """
        self.name = name
        self.durable = durable
        self._link = link
        self._layout = layout
        self._jetstream = JetStream(link)
        self._last = last
        self._term = term
        self._clock = clock
        self._seen = seen
        self._seen_term = term()
        self._settler = Settler(link)
        self._mail = Pull(link, layout.mail, durable, self._took_mail, self._wake)
        self._again = Pull(link, layout.state, durable, self._took_waiting, self._wake)
        self._claimed: dict[int, tuple[Claim, Hand]] = {}
        self._void: set[int] = set()
        """Claimed in an earlier term, and not answered yet."""
        self._fresh: dict[int, Hand] = {}
        self._turns = Turns(clock)
        self._aside = Aside(durable, self._jetstream, layout)
        self._returned: set[int] = set()
        self._putting: dict[tuple[bool, int], Hand] = {}
        """Retried or parked, and that is not stored yet."""
        self._settled: OrderedDict[tuple[bool, int], None] = OrderedDict()
        self._delivered = self._floor = 0
        """The newest that was handed to any node, and up to where all are answered."""
        self._others = 0
        """How many events other nodes have in hand."""
        self._fetching = 0
        self._fetched_at = 0.0
        self._changed = asyncio.Event()
        self._stopping = self._closed = False

    def __repr__(self) -> str:
        return f"<SharedConsumer {self.durable} at {self.position}, {len(self._claimed)} claimed>"

    async def start(self) -> None:
        """Learn how things stand, and subscribe."""
        await self.resubscribe()
        await self.refresh()

    async def resubscribe(self) -> None:
        """On a new connection."""
        await self._mail.subscribe()
        await self._again.subscribe()
        self._wake()

    @property
    def position(self) -> int:
        """Every sequence up to this one is settled or waits for a retry; or another node has it."""
        mine = [hand.sequence for _, hand in self._claimed.values() if not hand.key[0]]
        return min([*mine, *self._fresh, *self._returned, self._delivered + 1]) - 1

    @property
    def lag(self) -> int:
        """How many events are not settled, as far as is known here."""
        new = max(0, self._last() - self._delivered)
        mine = sum(not hand.key[0] for _, hand in self._claimed.values())
        return new + mine + len(self._fresh) + len(self._returned) + len(self._turns.all) + self._others

    @property
    def waiting(self) -> Sequence[int]:
        """The sequences that wait for a retry, or are being retried."""
        return list(self._turns.all)

    # Fetching.

    async def fetch(self, limit: int, *, ordered: bool = False) -> Sequence[Claim]:
        """Claim up to `limit` events; waits until there is at least one, and this node is active."""
        self._fetching += 1
        try:
            while True:
                if self._closed:
                    raise JournalUnavailable("the journal is closed")
                self._changed.clear()
                if self._is_held():
                    if claims := self._first() if ordered else self._any(limit):
                        return claims
                    self._demand(limit, ordered)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._patience()):
                        await self._changed.wait()
        finally:
            self._fetching -= 1
            self._fetched_at = self._clock.monotonic()

    def holds(self, claim: Claim) -> bool:
        """Whether the claim is still this node's: asked right before it is delivered."""
        self._is_held()
        return claim.sequence in self._claimed

    def _is_held(self) -> bool:
        """Whether this node is active. What was given us in an earlier term is not ours any more."""
        term = self._term()
        if term != self._seen_term:
            self._seen_term = term
            self._lapse()
        return term is not None

    def _lapse(self) -> None:
        self._void.update(self._claimed)
        self._claimed.clear()
        self._fresh.clear()
        self._returned.clear()
        self._turns.let_go()
        self._mail.forget()
        self._again.forget()
        self._wake()

    def _any(self, limit: int) -> list[Claim]:
        """What is due, then what is new."""
        claims: list[Claim] = []
        now = self._clock.monotonic()
        while len(claims) < limit and (due := self._turns.next_due()) is not None and due <= now:
            claims.append(self._claim_waiting(self._turns.pop_due()))
        while len(claims) < limit and self._fresh:
            claims.append(self._claim_fresh(min(self._fresh)))
        return claims

    def _first(self) -> list[Claim]:
        """The earliest that is not settled, when its time has come and nothing is under way."""
        if self._claimed:
            return []
        fresh, waiting = min(self._fresh, default=None), min(self._turns.all, default=None)
        if waiting is not None and (fresh is None or waiting < fresh):
            turn = self._turns.get(waiting)
            if turn is None or turn.hand is None or turn.due > self._clock.monotonic():
                return []
            return [self._claim_waiting(turn)]
        return [] if fresh is None else [self._claim_fresh(fresh)]

    def _claim_waiting(self, turn: Turn) -> Claim:
        hand, turn.hand = turn.hand, None
        assert hand is not None  # noqa: S101  what is on the agenda is in hand
        claim = Claim(hand.sequence, turn.attempts + 1, self._turns.first_attempt_at(turn))
        self._claimed[hand.sequence] = claim, hand
        return claim

    def _claim_fresh(self, sequence: int) -> Claim:
        claim = Claim(sequence)
        self._claimed[sequence] = claim, self._fresh.pop(sequence)
        return claim

    def _demand(self, limit: int, ordered: bool) -> None:
        """Have the server send what there may be."""
        self._ask_for_waiting()
        if ordered and (self._turns.all or self._claimed):
            return
        if len(self._turns.all) < MAX_WAITING:
            self._mail.ask(1 if ordered else limit)

    def _ask_for_waiting(self) -> None:
        if self._turns.held < PORTION:
            self._again.ask(PORTION)

    def _patience(self) -> float:
        """Seconds until fetch has to look again though nothing changed."""
        if not self._link.up.is_set() or self._term() is None:
            return 0.25
        now = asyncio.get_running_loop().time()
        asked = max(0.01, min(self._mail.until, self._again.until) - now)
        due = self._turns.next_due()
        return asked if due is None else max(0.0, min(asked, due - self._clock.monotonic()))

    def _wake(self) -> None:
        self._changed.set()

    # What the server sends.

    def _took_mail(self, delivery: Delivery) -> None:
        sequence = delivery.sequence
        if delivery.data:
            self._seen(sequence, delivery.data)
        if sequence <= self._delivered and sequence not in self._returned and self._others:
            self._others -= 1  # another node had it
        self._delivered = max(self._delivered, sequence)
        self._returned.discard(sequence)
        hand = self._hand(sequence, False, delivery)
        if hand is None or sequence in self._claimed or hand.key in self._putting:
            return  # not active, or the server is impatient with what we have in hand: `keep` tells it
        if hand.key in self._settled:
            self._settler.ack(delivery.reply)  # it has not heard of that
            return
        if self._stopping:
            self._hand_back(hand)
            return
        self._fresh[sequence] = hand
        self._wake()

    def _took_waiting(self, delivery: Delivery) -> None:
        try:
            waiting = msgspec.json.decode(delivery.data, type=Waiting)
        except msgspec.MsgspecError:
            logger.error("%s: a message of %s is none of mailbell's", self.name, self._layout.state)
            self._settler.ack(delivery.reply)
            return
        sequence = waiting.sequence
        hand = self._hand(sequence, True, delivery)
        if hand is None or hand.key in self._putting:
            return
        if hand.key in self._settled:
            self._settler.ack(delivery.reply)
            return
        if sequence in self._claimed:
            self._settler.back(delivery.reply, IDLE)
            return
        turn = self._turns.took(waiting)
        left = turn.due - self._clock.monotonic()
        if left > NEAR or self._stopping:
            self._settler.back(delivery.reply, left - NEAR / 2)
            return
        self._turns.hold(turn, hand)
        self._ask_for_waiting()  # all that is due goes before what is new
        self._wake()

    def _hand(self, sequence: int, waited: bool, delivery: Delivery) -> Hand | None:
        term = self._term() if self._is_held() else None
        return None if term is None else Hand(sequence, delivery.reply, (waited, delivery.sequence), term)

    # How it stands.

    @property
    def parked_count(self) -> int:
        """How many events are parked, as far as is known here."""
        return len(self._aside.sequences)

    def state(self, sequence: int) -> State:
        """How it stands with this event, as far as is known here: another node may have it in hand."""
        if sequence in self._turns.all:
            turn = self._turns.get(sequence)
            return "pending" if turn is not None and not turn.attempts else "waiting"
        if sequence in self._aside.sequences:
            return "parked"
        if sequence > self._delivered or self._is_in_hand(sequence) or self._may_be_elsewhere(sequence):
            return "pending"
        return "settled"

    def _may_be_elsewhere(self, sequence: int) -> bool:
        return self._others > 0 and sequence > self._floor and (False, sequence) not in self._settled

    async def fate(self, sequence: int) -> Fate:
        """How it stands with this event, and why."""
        state = self.state(sequence)
        if state == "waiting":
            await self._settler.flush()
            found = await asked(
                self._jetstream.last(self._layout.state, self._layout.again(self.durable, sequence))
            )
            if found is not None:
                return self._waits_for(msgspec.json.decode(found.data, type=Waiting))
        if state == "parked":
            for parked in await self.parked():
                if parked.sequence == sequence:
                    return Fate(
                        state="parked", attempts=parked.attempts, at=parked.parked_at, reason=parked.reason
                    )
        return Fate(state=state if state in ("pending", "settled") else self.state(sequence))

    def _waits_for(self, waiting: Waiting) -> Fate:
        turn = self._turns.get(waiting.sequence) or self._turns.made_of(waiting)
        due = self._turns.due_at(turn)
        return Fate(
            state="waiting", attempts=waiting.attempts, due=due, at=waiting.since, reason=waiting.reason
        )

    # Answers.

    def ack(self, claim: Claim) -> None:
        """Settle: delivered."""
        if (hand := self._answer(claim)) is not None:
            self._settle(hand)
            self._settler.ack(hand.reply)

    def retry(self, claim: Claim, at: float, reason: str) -> None:
        """Put back until the wall-clock second `at`; the attempt is counted."""
        if (hand := self._answer(claim)) is None:
            return
        now = self._clock.time()
        first = now if claim.first_attempt_at is None else self._first_of(claim)
        self._put(*self._waits(claim.sequence, claim.attempt, first, max(at, now), reason), hand)

    def park(self, claim: Claim, reason: str) -> None:
        """Settle: given up for now."""
        if (hand := self._answer(claim)) is None:
            return
        parked = Parked(claim.sequence, claim.attempt, self._clock.time(), _plain(reason))
        self._let_go(hand)
        self._put(*self._aside.put(parked), hand)

    def release(self, claim: Claim) -> None:
        """Take the claim back uncounted."""
        if (hand := self._answer(claim)) is None:
            return
        if hand.key[0]:  # its time has come, whatever the clock is set to meanwhile
            attempts = claim.attempt - 1
            first = self._first_of(claim) if attempts else None
            self._put(*self._waits(claim.sequence, attempts, first, self._clock.time(), "released"), hand)
        else:
            self._hand_back(hand)

    def _answer(self, claim: Claim) -> Hand | None:
        """Where to answer; None where that is another node's by now."""
        self._is_held()
        if claim.sequence in self._void:
            self._void.remove(claim.sequence)
            return None
        found = self._claimed.pop(claim.sequence, None)
        if found is None:
            raise ValueError(
                f"consumer {self.name}: event {claim.sequence} is not claimed, or was answered already"
            )
        self._wake()
        return found[1]

    def _settle(self, hand: Hand) -> None:
        self._let_go(hand)
        self._remember(hand)

    def _let_go(self, hand: Hand) -> None:
        if hand.key[0]:
            self._turns.remove(hand.sequence)

    def _remember(self, hand: Hand) -> None:
        self._settled[hand.key] = None
        while len(self._settled) > REMEMBERED:
            self._settled.popitem(last=False)

    def _put(self, subject: str, body: bytes, hand: Hand) -> None:
        """Until it is stored the event is ours, and nobody else's."""

        def stored() -> None:
            del self._putting[hand.key]
            self._remember(hand)

        self._putting[hand.key] = hand
        self._settler.put(subject, body, hand.reply, stored)

    def _hand_back(self, hand: Hand) -> None:
        self._returned.add(hand.sequence)
        self._settler.back(hand.reply)

    def _first_of(self, claim: Claim) -> float:
        turn = self._turns.get(claim.sequence)
        first = None if turn is None else self._turns.first_attempt_at(turn)
        return first if first is not None else claim.first_attempt_at or self._clock.time()

    def _waits(
        self, sequence: int, attempts: int, first: float | None, due: float, reason: str
    ) -> tuple[str, bytes]:
        """Note that an event waits; the message that says so."""
        waiting = self._turns.note(sequence, attempts, first, due, _plain(reason))
        return self._layout.again(self.durable, sequence), msgspec.json.encode(waiting)

    # What was given up, and what is to come again.

    async def parked(self) -> Sequence[Parked]:
        """What was given up, in order of sequence."""
        await self._settler.flush()
        return await self._aside.all()

    async def discard(self, sequences: Sequence[int]) -> None:
        """Let go of these parked events for good."""
        await self._settler.flush()
        for sequence in sequences:
            await self._aside.forget(sequence)

    async def replay(self, sequences: Sequence[int]) -> None:
        """Deliver these once more, now, attempts starting at 1; durable when it returns."""
        await self.refresh()
        for sequence in sequences:
            if not 0 < sequence <= self._delivered or self._is_in_hand(sequence):
                continue
            subject, body = self._waits(sequence, 0, None, self._clock.time(), "replayed")
            await asked(self._jetstream.publish(subject, body))
            await self._aside.forget(sequence)

    def _is_in_hand(self, sequence: int) -> bool:
        putting = (hand.sequence for hand in self._putting.values())
        return any(sequence in each for each in (self._claimed, self._fresh, self._returned, putting))

    # Now and then.

    async def refresh(self) -> int:
        """Learn how things stand at the server; the sequence up to which all is settled or waits."""
        await self._settler.flush()
        mail = await asked(self._jetstream.consumer(self._layout.mail, self.durable))
        if mail is None:
            raise JournalUnavailable(f"the consumer {self.durable} of the stream {self._layout.mail} is gone")
        self._delivered = max(self._delivered, mail.delivered.stream_seq)
        self._floor = mail.ack_floor.stream_seq
        self._returned.clear()
        mine = sum(not hand.key[0] for _, hand in self._claimed.values()) + len(self._fresh)
        self._others = max(0, mail.num_ack_pending - mine)
        await self._refresh_waiting()
        await self._aside.refresh()
        return self._floor

    async def _refresh_waiting(self) -> None:
        before = self._turns.begin_listing()
        pattern = self._layout.again(self.durable, "*")
        subjects = await asked(self._jetstream.subjects(self._layout.state, pattern))
        ours = [hand.sequence for _, hand in self._claimed.values() if hand.key[0]]
        self._turns.listed(before, [int(each.rpartition(".")[2]) for each in subjects], ours)

    async def keep(self) -> list[str]:
        """Where to say that we are still at it; what nobody wants here is handed back."""
        self._is_held()
        hands = [*(hand for _, hand in self._claimed.values()), *self._putting.values()]
        if self._fetching or self._clock.monotonic() < self._fetched_at + IDLE:
            hands += self._fresh.values()
            hands += self._turns.hands()
        elif not self._closed:
            await self._hand_all_back()
        return [hand.reply for hand in hands]

    async def _hand_all_back(self) -> None:
        """What is not claimed, and what is still on its way here."""
        self._stopping = True
        busy = bool(self._returned)
        for hand in self._fresh.values():
            self._hand_back(hand)
        self._fresh.clear()
        for hand in self._turns.let_go():
            self._settler.back(hand.reply)
        for pull in (self._mail, self._again):
            if busy or self._returned or self._turns.all:
                await pull.exhaust(BACK_WITHIN)
            await pull.end()
        self._stopping = False

    async def close(self) -> None:
        """Take back what is in hand, end `fetch`, and let the server know all that was answered."""
        if self._closed:
            return
        self._closed = True
        self._wake()
        if self._is_held():
            for claim, _ in list(self._claimed.values()):
                self.release(claim)
            await self._hand_all_back()
        for pull in (self._mail, self._again):
            await pull.end()
        await self._settler.close()


def _plain(reason: str) -> str:
    """The text of some exception: of bounded length, and without the lone surrogates that no file takes."""
    return reason[:1000].encode(errors="replace").decode()
