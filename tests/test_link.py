"""Calls between two processes: answers, errors, order, and what remains when the other end goes."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from mailbell.errors import JournalFull
from mailbell.link import Link, LinkLost
from tests.conftest import BOTH_LOOPS


class End:
    """What one end does when it is called."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.never = asyncio.Event()

    def add(self, one: int, two: int) -> int:
        return one + two

    async def later(self, value: bytes) -> bytes:
        await asyncio.sleep(0)
        return value

    def fail(self) -> None:
        raise JournalFull("no room")

    async def hang(self) -> None:
        await self.never.wait()

    def tell(self, number: int) -> None:
        self.told.append(number)

    def handlers(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in ("add", "later", "fail", "hang", "tell")}


@pytest.fixture
async def far() -> End:
    return End()


@pytest.fixture
async def ends(far: End) -> AsyncIterator[tuple[Link, Link]]:
    one, two = socket.socketpair()
    near = await Link.open(one, {})
    other = await Link.open(two, far.handlers())  # type: ignore[arg-type]
    yield near, other
    near.close()
    other.close()
    await asyncio.gather(near.lost(), other.lost())


Ends = tuple[Link, Link]


@BOTH_LOOPS
async def test_an_answer_comes_back(ends: Ends) -> None:
    assert await ends[0].call("add", 1, 2) == 3
    large = bytes(5 * 2**20)
    assert await asyncio.gather(*(ends[0].call("later", large[:size]) for size in (0, 1, 5 * 2**20))) == [
        b"",
        b"\0",
        large,
    ]


@BOTH_LOOPS
async def test_what_is_raised_there_is_raised_here(ends: Ends) -> None:
    with pytest.raises(JournalFull, match="no room"):
        await ends[0].call("fail")
    with pytest.raises(TypeError):
        await ends[0].call("add", 1)
    assert await ends[0].call("add", 1, 2) == 3


async def test_messages_arrive_in_order(ends: Ends, far: End) -> None:
    for number in range(1000):
        ends[0].tell("tell", number)
    await ends[0].call("add", 0, 0)
    assert far.told == list(range(1000))


async def test_what_fails_unasked_is_logged(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    ends[0].tell("fail")
    await ends[0].call("add", 0, 0)
    assert "fail failed" in caplog.text
    assert "no room" in caplog.text


@BOTH_LOOPS
async def test_a_call_ends_when_the_other_end_is_gone(ends: Ends) -> None:
    near, other = ends
    hanging = asyncio.create_task(near.call("hang"))
    await near.call("add", 0, 0)
    other.close()
    with pytest.raises(LinkLost):
        await hanging
    await near.lost()
    with pytest.raises(LinkLost):
        await near.call("add", 1, 2)
    near.tell("tell", 1)  # to nobody


async def test_a_call_given_up_is_forgotten(ends: Ends, far: End) -> None:
    near = ends[0]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await near.call("hang")
    assert not near._calls
    far.never.set()
    assert await near.call("add", 1, 2) == 3
