"""What the two event loops do differently."""

import asyncio
import os

import pytest

from mailbell.loops import reading_end
from tests.conftest import BOTH_LOOPS


class Ended(asyncio.Protocol):
    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


@BOTH_LOOPS
@pytest.mark.parametrize("ours", [False, True], ids=["the writer ends it", "we end it"])
async def test_a_pipe_is_closed_and_closed_once(ours: bool) -> None:
    """A second close would hit what another thread opens in between."""
    loop = asyncio.get_running_loop()
    read, write = os.pipe()
    file = reading_end(read)
    transport, protocol = await loop.connect_read_pipe(Ended, file)
    os.close(write)
    if ours:
        transport.close()
    await protocol.ended.wait()
    async with asyncio.timeout(5):
        while _is_open(read):  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert file.closed
    by_uvloop = not isinstance(loop, asyncio.BaseEventLoop)
    assert by_uvloop != file.closefd, "one of the two"


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
