"""What was wrong with a message, and how it was read: sentences for the person who looks why."""

MAX_DEFECTS = 50


class Defects:
    """The defects found so far: each once, in order, not too many."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[str, None] = {}

    def note(self, sentence: str) -> None:
        """Remember a defect; from the fiftieth on nobody reads them."""
        if len(self._found) < MAX_DEFECTS:
            self._found.setdefault(sentence)

    def all(self) -> tuple[str, ...]:
        """Every defect, in order of discovery."""
        return tuple(self._found)
