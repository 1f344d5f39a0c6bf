"""What all scripts of a server share: program variables, last values of data points, active or not."""

from collections.abc import Callable

import msgspec

MOST_CHARACTERS = 64 * 2**20
"""All program variables together: a script that only ever adds some must not take the server's memory."""


class Changes(msgspec.Struct, frozen=True):
    """What is new for one reader. The value of a variable that was removed is None."""

    revision: int
    variables: dict[str, str | None]
    points: dict[str, str]


class Point(msgspec.Struct, frozen=True):
    """A data point: its last value, and the wall-clock second at which that was set."""

    name: str
    value: str
    at: float


class _Cell(msgspec.Struct, frozen=True):
    value: str | None
    revision: int
    writer: object
    at: float = 0.0


class IoState:
    """The shared state of a server; each script's process has a copy, brought up to date by `changes`."""

    def __init__(self) -> None:
        self.active = True
        self.until: Callable[[], float | None] = lambda: None
        """By `clock.steady`, the moment from which on no mail may be handed to a script any more."""
        self._revision = 0
        self._points: dict[str, _Cell] = {}
        self._variables: dict[str, _Cell] = {}  # both in order of their last change
        self._characters = 0

    def io(self, name: str) -> str | None:
        """Return the last value of a data point."""
        cell = self._points.get(name)
        return None if cell is None else cell.value

    def points(self) -> list[Point]:
        """All data points, by name."""
        return [Point(name, each.value or "", each.at) for name, each in sorted(self._points.items())]

    def set_io(self, name: str, value: str, at: float = 0.0) -> None:
        """Set a data point, at this wall-clock second."""
        self._put(self._points, name, value, None, at)

    def variable(self, name: str) -> str | None:
        """Return a program variable."""
        cell = self._variables.get(name)
        return None if cell is None else cell.value

    def set_variable(self, name: str, value: str | None, writer: object = None) -> bool:
        """Set a program variable, or remove it with None. False: refused, there is too much already."""
        growth = len(value or "") - len(self.variable(name) or "")
        if growth > 0 and self._characters + growth > MOST_CHARACTERS:
            return False
        self._characters += growth
        self._put(self._variables, name, value, writer)
        return True

    def _put(
        self, cells: dict[str, _Cell], name: str, value: str | None, writer: object, at: float = 0.0
    ) -> None:
        self._revision += 1
        cells.pop(name, None)
        cells[name] = _Cell(value, self._revision, writer, at)

    def changes(self, since: int, reader: object = None) -> Changes:
        """Return what others than `reader` have set since that revision; 0 is before all."""
        if since == self._revision:
            return Changes(since, {}, {})
        return Changes(
            self._revision,
            _newer(self._variables, since, reader),
            {name: value for name, value in _newer(self._points, since, reader).items() if value is not None},
        )


def _newer(cells: dict[str, _Cell], since: int, reader: object) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in reversed(cells):
        cell = cells[name]
        if cell.revision <= since:
            break
        if reader is None or cell.writer is not reader:
            found[name] = cell.value
    return found
