"""A durable consumer in JetStream, which several nodes may share: the server keeps who has which event.

```
stream MAILBELL ──────▶ new mail ──▶ fresh ───▶ claimed ─┬─ ack ──▶ +ACK
stream MAILBELL_STATE ▶ what waits ▶ turns ───▶ claimed ─┼─ retry ▶ a message in MAILBELL_STATE, then +ACK
                                                         └─ park ─▶ the same, then +ACK
```
Whatever is in hand here (fresh, waiting for a time that is near, claimed) is the server's to give to another
node, unless it hears from us: `keep` says so now and then, and with each renewal of the lease. Without the
lease all of it counts for nothing. What waits for a time that is far is handed back until shortly before.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

import msgspec

from mailbell.clock import Clock
from mailbell.errors import JournalUnavailable
from mailbell.journal.aside import Aside
from mailbell.journal.base import Claim, Fate, Parked, State
from mailbell.journal.hands import Hand, Hands
from mailbell.journal.pull import Delivery, Pull
from mailbell.journal.settle import Settler
from mailbell.journal.stream import Layout, asked
from mailbell.journal.turns import Turn, Turns, Waiting
from mailbell.remote.jetstream import JetStream
from mailbell.remote.nats import NatsLink

MAX_WAITING = 100_000
"""No new events come while so many wait for a retry: a receiver that is clearly down."""

NEAR = 30.0
"""Seconds: what is due sooner is kept in hand, for the time to be met exactly."""

PORTION = 256
"""How many of those that wait are asked for at once."""

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
        self._hands = Hands()
        self._turns = Turns(clock)
        self._aside = Aside(durable, self._jetstream, layout)
        self._fetching = 0
        self._fetched_at = 0.0
        self._changed = asyncio.Event()
        self._stopping = self._closed = False

    def __repr__(self) -> str:
        return f"<SharedConsumer {self.durable} at {self.position}, {self._hands}>"

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
        return self._hands.position

    @property
    def lag(self) -> int:
        """How many events are not settled, as far as is known here."""
        return self._hands.lag(self._last()) + len(self._turns.all)

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
        return claim.sequence in self._hands.claimed

    def _is_held(self) -> bool:
        """Whether this node is active. What was given us in an earlier term is not ours any more."""
        term = self._term()
        if term != self._seen_term:
            self._seen_term = term
            self._lapse()
        return term is not None

    def _lapse(self) -> None:
        self._hands.lapse()
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
        while len(claims) < limit and self._hands.fresh:
            claims.append(self._claim_fresh(min(self._hands.fresh)))
        return claims

    def _first(self) -> list[Claim]:
        """The earliest that is not settled, when its time has come and nothing is under way."""
        if self._hands.claimed:
            return []
        fresh, waiting = min(self._hands.fresh, default=None), min(self._turns.all, default=None)
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
        return self._hands.claim(claim, hand)

    def _claim_fresh(self, sequence: int) -> Claim:
        return self._hands.claim(Claim(sequence), self._hands.fresh.pop(sequence))

    def _demand(self, limit: int, ordered: bool) -> None:
        """Have the server send what there may be."""
        self._ask_for_waiting()
        if ordered and (self._turns.all or self._hands.claimed):
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
        self._hands.came(sequence)
        hand = self._hand(sequence, False, delivery)
        if hand is None or sequence in self._hands.claimed or hand.key in self._hands.putting:
            return  # not active, or the server is impatient with what we have in hand: `keep` tells it
        if self._hands.is_settled(hand):
            self._settler.ack(delivery.reply)  # it has not heard of that
            return
        if self._stopping:
            self._hand_back(hand)
            return
        self._hands.fresh[sequence] = hand
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
        if hand is None or hand.key in self._hands.putting:
            return
        if self._hands.is_settled(hand):
            self._settler.ack(delivery.reply)
            return
        if sequence in self._hands.claimed:
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
        return "pending" if self._hands.is_pending(sequence) else "settled"

    async def fate(self, sequence: int) -> Fate:
        """How it stands with this event, and why."""
        state = self.state(sequence)
        if state == "waiting":
            await self._settler.flush()
            found = await asked(
                self._jetstream.last(self._layout.state, self._layout.again(self.durable, sequence))
            )
            if found is not None:
                return self._turns.fate(msgspec.json.decode(found.data, type=Waiting))
        if state == "parked":
            for each in await self.parked():
                if each.sequence == sequence:
                    return Fate(state="parked", attempts=each.attempts, at=each.parked_at, reason=each.reason)
        return Fate(state=state if state in ("pending", "settled") else self.state(sequence))

    # Answers.

    def ack(self, claim: Claim) -> None:
        """Settle: delivered."""
        if (hand := self._answer(claim)) is not None:
            self._let_go(hand)
            self._hands.settle(hand)
            self._settler.ack(hand.reply)

    def retry(self, claim: Claim, at: float, reason: str) -> None:
        """Put back until the wall-clock second `at`; the attempt is counted."""
        if (hand := self._answer(claim)) is None:
            return
        now = self._clock.time()
        first = now if claim.first_attempt_at is None else self._turns.first_of(claim)
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
            first = self._turns.first_of(claim) if attempts else None
            self._put(*self._waits(claim.sequence, attempts, first, self._clock.time(), "released"), hand)
        else:
            self._hand_back(hand)

    def _answer(self, claim: Claim) -> Hand | None:
        """Where to answer; None where that is another node's by now."""
        self._is_held()
        hand = self._hands.answer(claim)
        if hand is not None:
            self._wake()
        return hand

    def _let_go(self, hand: Hand) -> None:
        if hand.key[0]:
            self._turns.remove(hand.sequence)

    def _put(self, subject: str, body: bytes, hand: Hand) -> None:
        """Until it is stored the event is ours, and nobody else's."""

        def stored() -> None:
            del self._hands.putting[hand.key]
            self._hands.settle(hand)

        self._hands.putting[hand.key] = hand
        self._settler.put(subject, body, hand.reply, stored)

    def _hand_back(self, hand: Hand) -> None:
        self._hands.returned.add(hand.sequence)
        self._settler.back(hand.reply)

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
            if not 0 < sequence <= self._hands.delivered or self._hands.has(sequence):
                continue
            subject, body = self._waits(sequence, 0, None, self._clock.time(), "replayed")
            await asked(self._jetstream.publish(subject, body))
            await self._aside.forget(sequence)

    # Now and then.

    async def refresh(self) -> int:
        """Learn how things stand at the server; the sequence up to which all is settled or waits."""
        await self._settler.flush()
        mail = await asked(self._jetstream.consumer(self._layout.mail, self.durable))
        if mail is None:
            raise JournalUnavailable(f"the consumer {self.durable} of the stream {self._layout.mail} is gone")
        floor = mail.ack_floor.stream_seq
        self._hands.learn(mail.delivered.stream_seq, floor, mail.num_ack_pending)
        await self._refresh_waiting()
        await self._aside.refresh()
        return floor

    async def _refresh_waiting(self) -> None:
        before = self._turns.begin_listing()
        pattern = self._layout.again(self.durable, "*")
        subjects = await asked(self._jetstream.subjects(self._layout.state, pattern))
        listed = [int(each.rpartition(".")[2]) for each in subjects]
        self._turns.listed(before, listed, self._hands.retried())

    async def keep(self) -> list[str]:
        """Where to say that we are still at it; what nobody wants here is handed back."""
        self._is_held()
        hands = [*(hand for _, hand in self._hands.claimed.values()), *self._hands.putting.values()]
        if self._fetching or self._clock.monotonic() < self._fetched_at + IDLE:
            hands += self._hands.fresh.values()
            hands += self._turns.hands()
        elif not self._closed:
            await self._hand_all_back()
        return [hand.reply for hand in hands]

    async def _hand_all_back(self) -> None:
        """What is not claimed, and what is still on its way here."""
        self._stopping = True
        busy = bool(self._hands.returned)
        for hand in self._hands.fresh.values():
            self._hand_back(hand)
        self._hands.fresh.clear()
        for hand in self._turns.let_go():
            self._settler.back(hand.reply)
        for pull in (self._mail, self._again):
            if busy or self._hands.returned or self._turns.all:
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
            for claim, _ in list(self._hands.claimed.values()):
                self.release(claim)
            await self._hand_all_back()
        for pull in (self._mail, self._again):
            await pull.end()
        await self._settler.close()


def _plain(reason: str) -> str:
    """The text of some exception: of bounded length, and without the lone surrogates that no file takes."""
    return reason[:1000].encode(errors="replace").decode()
