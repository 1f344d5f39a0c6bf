"""`startupevents`: when events start to flow."""

import asyncio

from mailbell.delivery.alignment import Alignment


async def test_without_sinks_alignment_comes_at_once() -> None:
    alignment = Alignment([], [])
    assert await alignment.run() == ()
    assert alignment.done


async def test_aligned_when_every_sink_is_up() -> None:
    alignment = Alignment(["a", "b"], ["early"])
    running = asyncio.create_task(alignment.run())
    alignment.up("a")
    assert not alignment.open_for("late")
    assert alignment.open_for("early")
    alignment.up("b")
    assert await running == ()
    assert alignment.open_for("late")


async def test_a_sink_that_does_not_come_up_is_not_waited_for() -> None:
    alignment = Alignment(["good", "down"], [])
    alignment.up("good")
    assert await alignment.run(patience=0.01) == ("down",)
    assert alignment.done
