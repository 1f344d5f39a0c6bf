"""`mailbell settings`, and the page that it makes."""

import re
import tomllib
from pathlib import Path

from click.testing import CliRunner
from msgspec.structs import fields

from mailbell.cli.main import commands
from mailbell.cli.settings import markdown
from mailbell.config import load
from mailbell.settings import IoServerSettings, JournalSettings, LogSettings, ScriptSettings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_in_docs_is_up_to_date() -> None:
    printed = CliRunner().invoke(commands, ["settings"]).output
    assert PAGE.read_text("utf-8") == printed, "make it anew: make settings"


def test_every_key_has_its_row_with_a_meaning() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", markdown(), re.MULTILINE))
    sections = set(re.findall(r"^## `\[[^]]*\.(\w+)\]`", markdown(), re.MULTILINE))
    for kind in (IoServerSettings, JournalSettings, LogSettings, ScriptSettings):
        for field in fields(kind):
            if field.encode_name not in sections:
                assert rows.get(field.encode_name), field.name


def test_the_defaults_of_the_page_are_those_that_serve(tmp_path: Path) -> None:
    """The page's defaults, written to a file, give the same settings as no file."""
    lines = []
    for title, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", markdown(), re.MULTILINE | re.DOTALL):
        if "sinks" not in title:
            key = title.strip("`[]").replace("NAME", "smtp")
            lines += [f"[{key}]"] if title.startswith("`") else []
            lines += [
                f"{name} = {value}"
                for name, value in re.findall(r"^\| `(\w+)` \| `(.*?)` \|", body, re.MULTILINE)
            ]
    text = "\n".join(line for line in lines if not line.endswith("= none"))
    assert len(tomllib.loads(text)["ioservers"]["smtp"]) > 15
    file = tmp_path / "mailbell.toml"
    file.write_text(text)
    (tmp_path / "empty.toml").write_text("")
    assert load(file) == load(tmp_path / "empty.toml")
