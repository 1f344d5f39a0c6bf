"""docs/devices.md: its settings are read, its keys exist, its commands do what they show."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailbell.cli.main import commands
from mailbell.config import load
from mailbell.settings import IoServerSettings
from tests.tools import ROOT

PAGE = (ROOT / "docs" / "devices.md").read_text()


def test_users_as_the_page_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = PAGE.partition("```console\n$ mailbell user add")[2].partition("```")[0]
    _, said, list_users, listed, _ = shown.split("\n")
    added = CliRunner().invoke(commands, ["user", "add", "camera", "users", "--stdin"], input="sesame\n")
    assert added.stdout == said + "\n"
    command = list_users.removeprefix("$ mailbell ").split()
    assert CliRunner().invoke(commands, command).stdout == listed + "\n"
    Path("m.toml").write_text(PAGE.partition("## Passwords")[2].partition("```toml\n")[2].partition("```")[0])
    assert load(Path("m.toml")).ioservers["smtp"].users == tmp_path / "users"


def test_every_key_that_the_table_names_is_one() -> None:
    table = "\n".join(line for line in PAGE.splitlines() if line.startswith("|"))
    named = set(re.findall(r"`([a-z_]+)(?: = [^`]+)?`", table))
    assert len(named) > 8
    assert named <= set(IoServerSettings.__struct_fields__)


def test_its_io_servers_are_settings(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(PAGE.partition("```toml\n")[2].partition("```")[0])
    servers = load(tmp_path / "m.toml").ioservers
    assert {id_: (each.tls, each.tls_min) for id_, each in servers.items()} == {
        "smtp": ("starttls", "1.2"),
        "old": ("starttls", "1.0"),
        "plain": ("off", "1.2"),
    }


def test_the_options_of_sessions_are_there() -> None:
    shown = CliRunner().invoke(commands, ["sessions", "--help"]).stdout
    for option in re.findall(r"(--\w+|-n)", PAGE.partition("## Passwords")[0]):
        assert option in shown
