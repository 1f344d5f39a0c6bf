"""What one consumer in JetStream has given up: a message for each in the stream of states."""

from collections.abc import Sequence

import msgspec

from mailbell.journal.base import Parked
from mailbell.journal.stream import Layout, asked
from mailbell.remote.jetstream import JetStream


class Aside:
    """Each parking has a subject of its own, so what was read of one stays true."""

    def __init__(self, durable: str, jetstream: JetStream, layout: Layout) -> None:
        self._durable = durable
        self._jetstream = jetstream
        self._layout = layout
        self._known: dict[str, Parked] = {}
        self.sequences: set[int] = set()
        """All that is known to be parked."""

    def __repr__(self) -> str:
        return f"<Aside of {self._durable}, {len(self.sequences)}>"

    def put(self, parked: Parked) -> tuple[str, bytes]:
        """From now on it is parked; the message that says so."""
        self.sequences.add(parked.sequence)
        subject = self._layout.parked(self._durable, parked.sequence, int(parked.parked_at * 1000))
        return subject, msgspec.json.encode(parked)

    async def all(self) -> Sequence[Parked]:
        """In order of sequence."""
        subjects = await self._subjects()
        self._known = {each: parked for each, parked in self._known.items() if each in subjects}
        for subject in subjects:
            if subject not in self._known:
                found = await asked(self._jetstream.last(self._layout.state, subject))
                if found is not None:
                    self._known[subject] = msgspec.json.decode(found.data, type=Parked)
        self.sequences = {each.sequence for each in self._known.values()}
        return sorted(self._known.values(), key=lambda parked: parked.sequence)

    async def forget(self, sequence: int) -> None:
        """It is parked no longer."""
        if sequence in self.sequences:
            pattern = self._layout.parked(self._durable, sequence, "*")
            await asked(self._jetstream.purge(self._layout.state, filter=pattern))
            self.sequences.discard(sequence)

    async def refresh(self) -> None:
        """Learn which there are."""
        self.sequences = {int(each.split(".")[-2]) for each in await self._subjects()}

    async def _subjects(self) -> dict[str, int]:
        pattern = self._layout.parked(self._durable, "*", "*")
        return await asked(self._jetstream.subjects(self._layout.state, pattern))
