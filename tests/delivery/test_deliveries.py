"""Sinks on a node that is not the active one, and when that changes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from mailbell.clock import SystemClock
from mailbell.delivery.activity import Activity
from mailbell.delivery.alignment import Alignment
from mailbell.delivery.deliveries import Deliveries
from mailbell.delivery.feed import Feed
from mailbell.delivery.keep import keep_running
from mailbell.delivery.monitor import Watermark
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.scripting.state import IoState
from mailbell.settings import CommandSettings, JournalSettings, ScriptSettings
from tests.delivery.test_activity import HandLease

SCRIPT = """
def haActiveEvent(active):
    messageLog("told %s" % active)
"""


class House:
    def __init__(self, deliveries: Deliveries, lease: HandLease, folder: Path) -> None:
        self.deliveries = deliveries
        self.lease = lease
        self.folder = folder

    async def state(self, name: str, expected: str) -> None:
        async with asyncio.timeout(20):
            while self.deliveries[name].state != expected:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(DataFolder(tmp_path / "data"))
        journal = await SqliteJournal.open(folder, JournalSettings(), clock)
        stack.push_async_callback(journal.close)
        lease = HandLease()
        activity = Activity(lease)
        alignment = Alignment([], ())
        mark = Watermark(lambda: 10**9)
        feed = Feed(journal, {})
        deliveries = Deliveries(journal, feed, alignment, clock, IoState(), behind=mark, activity=activity)
        stack.push_async_callback(deliveries.close)
        keep_running(stack, "high availability", activity.run)
        yield House(deliveries, lease, tmp_path)


async def test_only_scripts_are_up_until_the_node_is_active(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (house.folder / "s.py").write_text(SCRIPT)
    await house.deliveries.serve("script", ScriptSettings(path=house.folder / "s.py"))
    await house.deliveries.serve("run", CommandSettings(argv=("true",)))
    await house.state("script", "up")
    assert house.deliveries["run"].state == "standby"
    assert "told" not in caplog.text
    house.lease.give(1)
    await house.state("run", "up")
    house.lease.give(None)
    await house.state("run", "standby")
    assert house.deliveries["script"].state == "up"
    async with asyncio.timeout(20):
        while "told False" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert caplog.text.index("told True") < caplog.text.index("told False")
    house.lease.give(2)
    await house.state("run", "up")


async def test_a_sink_may_come_and_go_meanwhile(house: House) -> None:
    await house.deliveries.serve("run", CommandSettings(argv=("true",)))
    await house.deliveries.serve("run", CommandSettings(argv=("false",)))
    assert house.deliveries["run"].state == "standby"
    await house.deliveries.remove("run")
    house.lease.give(1)
    await house.deliveries.serve("late", CommandSettings(argv=("true",)))
    await house.state("late", "up")
