"""Retention in the stream: what is past its time and needed by nobody is removed."""

from collections.abc import Collection, Sequence

from mailbell.clock import Clock
from mailbell.journal.large import Large
from mailbell.journal.mails import Old
from mailbell.journal.retention import spent
from mailbell.journal.stream import Layout, decode, there
from mailbell.remote.jetstream import JetStream
from mailbell.settings import JournalSettings

WINDOW = 64
"""Mails looked at together."""

MOST_KNOWN = 100_000


class Trimmer:
    """Reads what is oldest, once, and remembers when it came."""

    def __init__(
        self, jetstream: JetStream, layout: Layout, large: Large, settings: JournalSettings, clock: Clock
    ) -> None:
        self._jetstream = jetstream
        self._layout = layout
        self._large = large
        self._settings = settings
        self._clock = clock
        self._known: dict[int, tuple[Old, str | None]] = {}
        self._orphans: set[str] = set()

    def __repr__(self) -> str:
        return f"<Trimmer of {self._layout.mail}>"

    async def trim(self, until: int, held: Collection[int]) -> list[int]:
        """Remove mail up to `until` that is past its time and not held; which."""
        removed: list[int] = []
        after = 0
        while window := await self._oldest(after, until):
            past = spent(window, self._settings, self._clock.time(), await self._used())
            if not past:
                break
            gone = [mail.sequence for mail in past if mail.sequence not in held]
            await self._remove(gone, window[0].sequence if after == 0 else None)
            removed += gone
            after = window[-1].sequence
        await self._sweep()
        return removed

    async def _oldest(self, after: int, until: int) -> list[Old]:
        info = await self._jetstream.stream(self._layout.mail, deleted=True)
        if info is None:
            return []
        found: list[Old] = []
        for sequence in there(info, after, until):
            if (old := await self._old(sequence)) is not None:
                found.append(old)
                if len(found) >= WINDOW:
                    break
        return found

    async def _old(self, sequence: int) -> Old | None:
        if sequence not in self._known:
            stored = await self._jetstream.get(self._layout.mail, sequence)
            if stored is None:
                return None
            meta, _ = decode(stored.data)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[sequence] = Old(sequence, meta.received_at, meta.size), meta.large
        return self._known[sequence][0]

    async def _used(self) -> int:
        found = [await self._jetstream.stream(each) for each in (self._layout.mail, self._layout.objects)]
        return sum(info.state.bytes for info in found if info is not None)

    async def _remove(self, sequences: Sequence[int], first: int | None) -> None:
        """From the first one on without a gap in one go, the others one by one."""
        head = 0
        while first is not None and head < len(sequences) and sequences[head] == first + head:
            head += 1
        if head:
            await self._jetstream.purge(self._layout.mail, seq=sequences[head - 1] + 1)
        for sequence in sequences[head:]:
            await self._jetstream.delete(self._layout.mail, sequence)
        for sequence in sequences:
            _, large = self._known.pop(sequence)
            if large is not None:
                await self._large.remove(large)

    async def _sweep(self) -> None:
        """Remove objects whose mail never came, since its node died. Not at first sight: it may come yet."""
        needed = {
            subject.rpartition(".")[2]
            for subject in await self._jetstream.subjects(self._layout.mail, self._layout.large_subject("*"))
        }
        orphans = set(await self._large.names()) - needed
        for name in orphans & self._orphans:
            await self._large.remove(name)
        self._orphans = orphans - self._orphans
