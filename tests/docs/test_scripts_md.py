"""Every example of docs/scripts.md runs, and logs what the page says; the limits are the real ones."""

import logging
import re
from pathlib import Path

import pytest

from mailbell.delivery.schedule import DELAYS
from mailbell.scripting.host import LOG_LINES
from mailbell.scripting.script import CALLBACKS
from mailbell.scripting.state import MOST_CHARACTERS, IoState
from mailbell.scripting.version import LARGEST, Limits
from mailbell.settings import ScriptSettings
from mailbell.sinks.script import ScriptSink
from tests.page import page_mail

PAGE = (Path(__file__).parents[2] / "docs" / "scripts.md").read_text(encoding="utf-8")
SUFFIX = {"javascript": ".js", "python": ".py", "events": ".txt"}
EXAMPLES = re.findall(r"```(javascript|python|events)\n(.*?)```\n\n```log\n(.*?)```", PAGE, re.DOTALL)


def test_every_example_says_what_it_logs() -> None:
    assert len(EXAMPLES) == len(re.findall(r"```(?:javascript|python|events)\n", PAGE)) == 6


@pytest.mark.parametrize(("language", "source", "logged"), EXAMPLES)
async def test_an_example(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, language: str, source: str, logged: str
) -> None:
    caplog.set_level(logging.INFO, "mailbell.script")
    path = tmp_path / f"script{SUFFIX[language]}"
    path.write_text(source, encoding="utf-8")
    state, item = IoState(), page_mail()
    sink = ScriptSink("example", ScriptSettings(path=path), state)
    await sink.start()
    try:
        state.set_io(item.name, item.value)
        await sink.deliver(item)
    finally:
        await sink.stop()
    lines = [f"{'+' if each.levelno >= logging.ERROR else '-'} {each.message}" for each in caplog.records]
    assert "\n".join(lines).replace(f"{tmp_path}/", "") + "\n" == logged


def test_the_limits_are_the_real_ones() -> None:
    limits = Limits()
    assert f"`time_limit`, {limits.time:g} s |" in PAGE
    assert f"`memory_limit`, {limits.memory >> 20} MiB |" in PAGE
    assert f"| the test-run | {limits.test:g} s |" in PAGE
    assert f"| the file | {LARGEST >> 20} MiB |" in PAGE
    assert f"| lines logged in one call | {LOG_LINES:,} |" in PAGE
    assert f"{MOST_CHARACTERS >> 20} Mi characters |" in PAGE
    assert list(DELAYS) == [1, 5, 30, 120, 600, 3600]
    assert "after 1 s, 5 s, 30 s, 2 min, 10 min, then every hour" in PAGE


def test_every_callback_is_there() -> None:
    assert set(re.findall(r"^\| `(\w+)\(.*?\)` \| (?:for|once|when)", PAGE, re.MULTILINE)) == set(CALLBACKS)
