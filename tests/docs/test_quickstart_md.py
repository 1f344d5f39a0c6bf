"""docs/quickstart.md: its script and its config. tests/faults/test_install.py runs its commands."""

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailbell.cli.main import commands
from tests.tools import ROOT

PAGE = (ROOT / "docs" / "quickstart.md").read_text()


def test_its_config_passes_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [write] = re.findall(r"^printf .*$", PAGE, re.MULTILINE)
    subprocess.run(["sh", "-c", write], check=True)
    Path("mailbell.toml").write_text(PAGE.partition("```toml\n")[2].partition("```")[0])
    checked = CliRunner().invoke(commands, ["check"])
    assert "sink bell: script " in checked.output
    assert checked.exit_code == 0


def test_five_commands() -> None:
    block = PAGE.partition("```sh\n")[2].partition("```")[0]
    assert len(block.splitlines()) == 5
