"""A Hypothesis state machine: two consumers, restarts, kills and clock jumps; nothing lost, nothing early."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mailbell.journal import consumers
from mailbell.journal.base import Claim
from mailbell.journal.consumers import SqliteConsumer
from mailbell.journal.sqlite import SqliteJournal
from mailbell.mail import Mail
from tests.journal.conformance import fetch_some, is_there, mail
from tests.journal.engines import SqliteEngine

NAMES = ("a", "b")
DAY = 86_400_000
LONG = 1e9
FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where an fsync costs nothing: test_kill.py goes to the real disk."""

SLACK = 0.001
"""Seconds by which sums of times may be off."""

SETTINGS = settings(
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # each step is real I/O: shrinking takes minutes
)

T = TypeVar("T")
names = st.sampled_from(NAMES)
picks = st.integers(0, 30)


class Turn(msgspec.Struct):
    """An event that has to come, from `earliest` on it may and from `latest` on it must. None: not known."""

    attempts: int | None = 0
    earliest: float = 0
    latest: float = 0
    delay: float = 0


class Model(msgspec.Struct):
    """What a consumer must and may see."""

    due: dict[int, Turn] = {}
    claimed: dict[int, Claim] = {}
    parked: set[int] = set()
    acked: set[int] = set()
    doubtful: set[int] = set()
    """What a kill may or may not have made come again, or be parked still."""
    unsaved: set[int] = set()
    saved_position: int = 0

    def kill(self) -> None:
        self.doubtful |= self.unsaved & (self.acked | self.parked)
        self.doubtful |= {each for each in self.acked if each > self.saved_position}
        for sequence in self.unsaved & self.due.keys():
            self.due[sequence] = Turn(attempts=None)
        self.unsaved.clear()

    def restart(self, now: float, jumped: bool) -> None:
        for sequence, claim in self.claimed.items():
            self.due[sequence] = Turn(claim.attempt - 1)
        self.claimed.clear()
        if jumped:
            for turn in self.due.values():
                turn.earliest, turn.latest = 0, max(turn.latest, now + turn.delay)


class JournalMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="mailbell-machine-", dir=FAST))
        self.engine = SqliteEngine(self.folder / "0")
        self.models = {name: Model() for name in NAMES}
        self.mails: dict[int, Mail] = {}
        self.gone: set[int] = set()
        """Mail that was replayed though retention had removed it."""
        self.kills = 0
        self.jumped = False
        self.open()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(asyncio.wait_for(work, 10))

    def call(self, work: Callable[..., None], *args: object) -> None:
        """Call on the loop, as all answers are."""

        async def on_loop() -> None:
            work(*args)

        self.run(on_loop())

    def open(self) -> None:
        self.journal: SqliteJournal = self.run(self.engine.open())
        self.consumers: dict[str, SqliteConsumer] = {
            name: self.run(self.journal.consumer(name)) for name in NAMES
        }

    @property
    def now(self) -> float:
        return self.engine.clock.monotonic()

    def saved(self) -> None:
        for name, model in self.models.items():
            model.unsaved.clear()
            model.saved_position = self.consumers[name].position

    @rule(count=st.integers(1, 8), old=st.booleans())
    def append(self, count: int, old: bool) -> None:
        received_at = int(self.engine.clock.time() * 1000) - 2 * DAY * old
        mails = [mail(b"%d" % len(self.mails), received_at=max(received_at, 0)) for _ in range(count)]

        async def together() -> Sequence[int]:
            return await asyncio.gather(*map(self.journal.append, mails))

        given = self.run(together())
        assert list(given) == list(range(len(self.mails) + 1, len(self.mails) + count + 1))
        self.mails |= zip(given, mails, strict=True)
        for model in self.models.values():
            model.due |= {sequence: Turn() for sequence in given}

    @rule(name=names, limit=st.integers(1, 5), ordered=st.booleans())
    def fetch(self, name: str, limit: int, ordered: bool) -> None:
        model, consumer = self.models[name], self.consumers[name]
        must = self.must_come(model, ordered)
        claims = self.run(
            consumer.fetch(limit, ordered=ordered) if must else fetch_some(consumer, self.engine, ordered)
        )
        assert len(claims) <= (limit if must and not ordered else 100)
        for claim in claims:
            self.check(model, claim)
        if ordered and claims:
            assert len(claims) == 1
            assert not model.claimed
            assert claims[0].sequence <= min(model.due, default=claims[0].sequence)
        for claim in claims:
            model.due.pop(claim.sequence, None)
            for each in (model.doubtful, model.parked, model.acked):
                each.discard(claim.sequence)
            model.claimed[claim.sequence] = claim

    def must_come(self, model: Model, ordered: bool) -> bool:
        if not ordered:
            return any(turn.latest < self.now - SLACK for turn in model.due.values())
        return not (model.claimed or model.doubtful) and any(
            sequence == min(model.due) and turn.latest < self.now - SLACK
            for sequence, turn in model.due.items()
        )

    def check(self, model: Model, claim: Claim) -> None:
        assert claim.sequence not in model.claimed
        assert (claim.first_attempt_at is None) == (claim.attempt == 1)
        turn = model.due.get(claim.sequence)
        if turn is None:
            assert claim.sequence in model.doubtful
            return
        assert turn.earliest <= self.now + SLACK
        assert turn.attempts is None or claim.attempt == turn.attempts + 1

    def answer(self, name: str, pick: int) -> tuple[Model, Claim]:
        model = self.models[name]
        sequence = sorted(model.claimed)[pick % len(model.claimed)]
        model.unsaved.add(sequence)
        return model, model.claimed.pop(sequence)

    def has_claims(self) -> bool:
        return all(model.claimed for model in self.models.values())

    @precondition(has_claims)
    @rule(name=names, pick=picks)
    def ack(self, name: str, pick: int) -> None:
        model, claim = self.answer(name, pick)
        self.call(self.consumers[name].ack, claim)
        model.acked.add(claim.sequence)

    @precondition(has_claims)
    @rule(name=names)
    def ack_all_but_the_first(self, name: str) -> None:
        """So that others get far past an unanswered one."""
        for _ in range(len(self.models[name].claimed) - 1):
            self.ack(name, -1)

    @precondition(has_claims)
    @rule(name=names, pick=picks, delay=st.sampled_from([-5.0, 0.0, 1.0, 5.0, 30.0]))
    def retry(self, name: str, pick: int, delay: float) -> None:
        model, claim = self.answer(name, pick)
        self.call(self.consumers[name].retry, claim, self.engine.clock.time() + delay, "busy")
        due = self.now + max(delay, 0)
        model.due[claim.sequence] = Turn(claim.attempt, due, due, max(delay, 0))

    @precondition(has_claims)
    @rule(name=names, pick=picks)
    def release(self, name: str, pick: int) -> None:
        model, claim = self.answer(name, pick)
        self.call(self.consumers[name].release, claim)
        model.due[claim.sequence] = Turn(claim.attempt - 1)

    @precondition(has_claims)
    @rule(name=names, pick=picks)
    def park(self, name: str, pick: int) -> None:
        model, claim = self.answer(name, pick)
        self.call(self.consumers[name].park, claim, "no")
        model.parked.add(claim.sequence)

    @rule(name=names, chosen=st.lists(st.integers(1, 30), max_size=4))
    def replay(self, name: str, chosen: list[int]) -> None:
        model = self.models[name]
        self.run(self.consumers[name].replay(chosen))
        self.saved()
        for sequence in set(chosen) & (model.acked | model.parked | model.due.keys()) - model.claimed.keys():
            model.due[sequence] = Turn()
            if not self.run(is_there(self.journal, sequence)):
                self.gone.add(sequence)
            for each in (model.acked, model.parked, model.doubtful):
                each.discard(sequence)

    @rule(name=names, pick=picks)
    def list_and_discard_parked(self, name: str, pick: int) -> None:
        model = self.models[name]
        listed = {each.sequence for each in self.run(self.consumers[name].parked())}
        self.saved()
        assert model.parked - model.doubtful <= listed <= model.parked | model.doubtful
        if model.parked - model.doubtful:
            sequence = sorted(model.parked - model.doubtful)[pick % len(model.parked - model.doubtful)]
            self.run(self.consumers[name].discard([sequence]))
            self.saved()
            assert self.consumers[name].position >= sequence, "a kill does not bring it back"
            model.parked.remove(sequence)
            model.acked.add(sequence)

    @rule(seconds=st.sampled_from([0.5, 1.0, 10.0, 50.0]))
    def elapse(self, seconds: float) -> None:
        self.engine.clock.turn(seconds)

    @rule(seconds=st.sampled_from([-100_000.0, -3.0, 3.0, 100_000.0]))
    def set_clock(self, seconds: float) -> None:
        self.engine.set_clock_back(-seconds)
        self.jumped = True

    @rule()
    def trim(self) -> None:
        self.run(self.journal.trim())
        self.saved()

    @rule()
    def restart(self) -> None:
        self.run(self.journal.close())
        for model in self.models.values():
            model.unsaved.clear()
        self.reopened()

    @rule(written=st.booleans())
    def kill(self, written: bool) -> None:
        """At any moment, or just when all is written: then next to nothing may be done again."""
        if written:
            self.run(self.consumers["a"].parked())
            self.saved()
        self.kills += 1
        left = self.engine.copy(self.folder / str(self.kills))
        self.run(self.journal.close())
        self.engine = left
        for model in self.models.values():
            model.kill()
        self.reopened()

    def reopened(self) -> None:
        self.open()
        for name, model in self.models.items():
            model.restart(self.now, self.jumped)
            model.saved_position = self.consumers[name].position
        self.jumped = False

    @invariant()
    def lag_counts_what_is_not_settled(self) -> None:
        for name, model in self.models.items():
            unsettled = len(model.due) + len(model.claimed)
            assert unsettled <= self.consumers[name].lag <= unsettled + len(model.doubtful)
            assert self.consumers[name].position <= len(self.mails)

    @invariant()
    def mail_that_is_needed_is_there(self) -> None:
        for model in self.models.values():
            needed = model.claimed.keys() | model.due.keys() | model.parked - model.doubtful
            for sequence in needed - self.gone:
                assert self.run(self.journal.read(sequence)) == self.mails[sequence]

    def teardown(self) -> None:
        try:
            self.engine.clock.turn(LONG)
            for name in NAMES:
                self.drain(name)
        finally:
            self.run(self.journal.close())
            self.runner.close()
            shutil.rmtree(self.folder)

    def drain(self, name: str) -> None:
        model = self.models[name]
        while model.claimed:
            self.ack(name, 0)
        while model.due:
            self.fetch(name, 5, False)
            while model.claimed:
                self.ack(name, 0)


@pytest.fixture
def short_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "MAX_AHEAD", 3)


@pytest.mark.usefixtures("short_distances")
@pytest.mark.parametrize("examples", [12, pytest.param(600, marks=pytest.mark.faults)])
def test_nothing_is_lost_nothing_comes_early(examples: int) -> None:
    run_state_machine_as_test(JournalMachine, settings=settings(SETTINGS, max_examples=examples))
