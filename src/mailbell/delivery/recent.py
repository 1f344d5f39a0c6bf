"""How the last events of a sink were settled: what its consumer does not keep."""

from collections import OrderedDict

from mailbell.journal.base import Fate

KEEP = 4096


class Recent:
    """Sequence → Fate of what was settled since the start; the last ones."""

    def __init__(self, keep: int = KEEP) -> None:
        self._keep = keep
        self._fates: OrderedDict[int, Fate] = OrderedDict()

    def note(self, sequence: int, fate: Fate) -> None:
        """Remember; what is known of an earlier time is replaced."""
        self._fates[sequence] = fate
        self._fates.move_to_end(sequence)
        if len(self._fates) > self._keep:
            self._fates.popitem(last=False)

    def get(self, sequence: int) -> Fate | None:
        """How it was settled, if that is still known."""
        return self._fates.get(sequence)
