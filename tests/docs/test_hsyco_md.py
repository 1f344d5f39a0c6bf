"""docs/hsyco.md: its config is read, its options are HSYCO's, its script runs."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailbell.cli.main import commands
from mailbell.config import load
from mailbell.settings import IoServerSettings
from tests.tools import ROOT

PAGE = (ROOT / "docs" / "hsyco.md").read_text()


def test_the_config_beside_hsycos_own_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mailbell.toml").write_text(PAGE.partition("```toml\n")[2].partition("```")[0])
    (tmp_path / "events.txt").write_text((ROOT / "examples" / "events.txt").read_text())
    checked = CliRunner().invoke(commands, ["check"])
    shown = (
        PAGE.partition("$ mailbell check\n")[2].partition("```")[0].replace("/etc/mailbell", str(tmp_path))
    )
    assert checked.output.startswith(shown)
    assert load(Path("mailbell.toml")).ioservers["smtp"] == IoServerSettings()


def test_every_option_and_key_that_it_names() -> None:
    table = PAGE.partition("| in HSYCO")[2].partition("\n\n")[0]
    named = re.findall(r"`([a-z_]+)`", table)
    assert {"port", "rawbody", "startupevents", "threads", "shutdown_when_inactive"} <= set(named)
    assert set(named) <= set(IoServerSettings.__struct_fields__)


def test_what_it_says_of_scripts_is_in_the_page_on_scripts() -> None:
    scripts = (ROOT / "docs" / "scripts.md").read_text()
    part = PAGE.partition("HSYCO's own example")[2].partition("## ")[0]
    names = re.findall(r"`(\w+)`", part)
    assert len(names) > 12
    assert not [name for name in names if name not in scripts]
