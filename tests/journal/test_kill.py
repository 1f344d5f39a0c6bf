"""kill -9 at random moments: every append that returned is there, and no event is lost."""

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journal.appender import raw
from tests.journal.conformance import mail, sequences
from tests.journal.engines import SqliteEngine

APPENDER = Path(__file__).with_name("appender.py")


def lines_until_killed(path: Path, count: int) -> Iterator[list[str]]:
    """Run the appender until it has said so many lines, kill it, and yield all that it said."""
    argv = [sys.executable, str(APPENDER), str(path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(count):
            yield process.stdout.readline().split()
        process.kill()
        yield from (line.split() for line in process.stdout if line.endswith("\n"))
    assert process.returncode == -9


@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.faults)])
async def test_every_append_that_returned_is_there(tmp_path: Path, kills: int) -> None:
    engine = SqliteEngine(tmp_path / "data")
    stored: dict[int, str] = {}
    settled: set[int] = set()
    counts = [random.randint(1, 1500) for _ in range(kills - 1)]
    for count in [*counts, 12_000]:  # long enough for positions to be written
        for kind, sequence, *id_ in lines_until_killed(engine.path, count):
            if kind == "A":
                assert stored.setdefault(int(sequence), id_[0]) == id_[0]
            else:
                settled.add(int(sequence))
    async with engine.opened() as journal:
        consumer = await journal.consumer("sink")
        assert consumer.position > 0
        while consumer.lag:
            claims = await consumer.fetch(1000)
            settled.update(sequences(claims))
            for claim in claims:
                consumer.ack(claim)
        assert settled == set(range(1, journal.last_sequence + 1))
        assert max(stored) <= journal.last_sequence
        for number, expected in stored.items():
            found = await journal.read(number)
            assert (found.id, found.raw) == (expected, raw(expected))
        assert await journal.append(mail()) == len(settled) + 1
