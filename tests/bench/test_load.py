"""Our own clients against a real server, and what is seen of its processes."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.fsyncs import fsyncs
from bench.load import KEPT, Load, Times, bursts, paced, send
from bench.peer import Peer, Unavailable, needed
from bench.peers import AiosmtpdFiles, Mailpit
from bench.processes import family, memory
from tests.tools import need


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = AiosmtpdFiles()
    peer.start()
    yield peer
    peer.end()
    peer.remove()


@pytest.mark.parametrize(
    "load", [Load(2, attached=True), Load(2, burst=3), Load(2, attached=True, keep=True)]
)
def test_every_mail_is_taken(peer: Peer, load: Load) -> None:
    times = send(peer.port, 10, load)
    assert times is not None
    assert len(times.milliseconds()) == 10
    peer.end()
    assert peer.count() == 10
    assert set(peer.subjects()) == {f"bench-{number}" for number in range(10)}


async def test_a_steady_rate_takes_its_time(peer: Peer) -> None:
    times, began = Times(), asyncio.get_running_loop().time()
    await paced(peer.port, 11, Load(rate=100), times)
    assert asyncio.get_running_loop().time() - began >= 0.1
    assert len(times.reply) == 11


async def test_a_mail_that_is_not_taken_is_an_error(peer: Peer) -> None:
    peer.kill()
    with pytest.raises(ExceptionGroup) as raised:
        await bursts(peer.port, iter(range(3)), KEPT, Times())
    assert raised.group_contains(OSError)


def test_fsyncs_are_seen(peer: Peer) -> None:
    need("strace")
    assert fsyncs(peer, 5, Load(1, attached=True)) == 10  # the file and its folder


def test_a_peer_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bench.peers.BUILT", tmp_path)
    mailpit = Mailpit()
    with pytest.raises(Unavailable, match="mailpit is not installed: scripts/peers builds it"):
        mailpit.start()
    mailpit.remove()
    with pytest.raises(Unavailable, match="nothing-like-it is not installed"):
        needed("nothing-like-it")


def test_a_family_is_a_process_and_its_descendants() -> None:
    assert os.getpid() in family(os.getppid())
    assert os.getppid() not in family(os.getpid())
    assert memory(os.getpid()) > 2**20
