"""The floors that docs/architecture.md shows are those that the import contract holds."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_floors_are_those_of_the_contract() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    floors = [set(re.findall(r"\w+", layer)) for layer in layers]
    shown = [set(re.findall(r"`(\w+)`", row)) for row in re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE)]
    shown = [rooms & set().union(*floors) for rooms in shown]
    assert [rooms for rooms in shown if rooms] == floors


def test_the_seams_are_there() -> None:
    seams = re.findall(r"`([a-z]+/[a-z]+\.py)`", PAGE)
    assert len(seams) > 4
    assert all((ROOT / "src" / "mailbell" / seam).is_file() for seam in seams)
