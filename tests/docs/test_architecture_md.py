"""The floors that docs/architecture.md shows are those that the import contract holds."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_floors_are_those_of_the_contract() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    floors = {
        room.strip(): len(layers) - index
        for index, layer in enumerate(layers, 1)
        for room in layer.split("|")
    }
    shown: dict[str, int] = {}
    for number, rooms in re.findall(r"^\|(?: (\d))? \| (`[^|]*) \|", PAGE, re.MULTILINE):
        floor = int(number) if number else min(shown.values())
        shown |= dict.fromkeys(re.findall(r"`(\w+)`", rooms), floor)
    assert {room: floors.get(room, floor) for room, floor in shown.items()} == shown
    assert not set(floors) - set(shown), "a room of the contract is missing in docs/architecture.md"
    for seam in re.findall(r"`([a-z]+/[a-z]+\.py)`", PAGE):
        assert (ROOT / "src" / "mailbell" / seam).is_file()
