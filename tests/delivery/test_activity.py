"""What changes with the lease, and in which order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mailbell.clock import SystemClock
from mailbell.delivery import activity as module
from mailbell.delivery.activity import Activity
from mailbell.lease.base import Lease, Single, Standing


class HandLease:
    """A lease that the test gives and takes."""

    def __init__(self) -> None:
        self.term: int | None = None
        self.until: float | None = None
        self.standing = Standing(mode="active-standby", node="n", active=False, since=0.0, holder=None)
        self._changed = asyncio.Event()

    def give(self, term: int | None) -> None:
        self.term = term
        self._changed.set()
        self._changed = asyncio.Event()

    async def other_than(self, term: int | None) -> int | None:
        while self.term == term:
            await self._changed.wait()
        return self.term


@asynccontextmanager
async def following(activity: Activity) -> AsyncIterator[None]:
    task = asyncio.create_task(activity.run())
    await asyncio.sleep(0)
    yield
    task.cancel()
    await asyncio.wait([task])


async def test_events_flow_once_all_have_been_told() -> None:
    lease = HandLease()
    activity = Activity(lease)
    told: list[tuple[bool, int | None]] = []
    heard = asyncio.Event()

    async def hear(active: bool) -> None:
        told.append((active, activity.term()))
        heard.set()

    activity.hears.append(hear)
    async with following(activity):
        assert not activity.active
        lease.give(5)
        await asyncio.wait_for(activity.until_active(), 5)
        await heard.wait()
        assert told == [(True, None)], "nothing flows before they are told"
        while activity.term() is None:  # noqa: ASYNC110  a turn of the loop or two
            await asyncio.sleep(0)
        assert activity.term() == 5
        heard.clear()
        lease.give(None)
        assert activity.term() is None, "at once, whoever has yet to hear of it"
        await heard.wait()
        assert told[-1] == (False, None)


async def test_a_term_that_was_missed_is_told_as_an_end_and_a_beginning() -> None:
    lease = HandLease()
    lease.give(1)
    activity = Activity(lease)
    told: list[bool] = []
    done = asyncio.Event()

    async def hear(active: bool) -> None:
        told.append(active)
        if active:
            done.set()

    activity.hears.append(hear)
    assert activity.term() == 1
    async with following(activity):
        lease.give(2)
        assert activity.term() is None
        await asyncio.wait_for(done.wait(), 5)
        assert told == [False, True]


async def test_one_that_hangs_or_fails_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "HEARING", 0.01)
    lease = HandLease()
    activity = Activity(lease)

    async def hang(_active: bool) -> None:
        await asyncio.Event().wait()

    async def fail(_active: bool) -> None:
        raise ValueError("a bug")

    activity.hears += [hang, fail]
    async with following(activity):
        lease.give(1)
        async with asyncio.timeout(5):
            while activity.term() is None:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    assert "a change of the active node was not heard of" in caplog.text


async def test_a_node_on_its_own_is_always_active() -> None:
    lease: Lease = Single("n", SystemClock())
    activity = Activity(lease)
    assert activity.active
    assert activity.term() == 1
    assert lease.until is None
    await asyncio.wait_for(activity.until_active(), 5)
    assert lease.standing.holder == "n"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lease.other_than(1), 0.01)
