"""docs/operations.md names what the code has."""

import inspect
import re

from mailbell.server.ioserver import LIVE
from mailbell.web.sinks import Sinks, Status, Stuck
from tests.tools import ROOT

PAGE = (ROOT / "docs/operations.md").read_text()


def test_the_options_that_change_live() -> None:
    part = PAGE.partition("**I/O servers**")[2].partition("hold for")[0]
    assert re.findall(r"`(\w+)`", part) == list(LIVE)


def test_each_field_of_a_sink_and_of_a_parked_event() -> None:
    fields = {*Status.__struct_fields__, *Stuck.__struct_fields__} - {"name", "paused"}
    assert not [each for each in fields if f"`{each}`" not in PAGE]


def test_each_call() -> None:
    for path in re.findall(r'"(/api/v1/[^"]+)"', inspect.getsource(Sinks.routes)):
        last = path.rpartition("/")[2]
        assert f"/{last}" in PAGE, path
