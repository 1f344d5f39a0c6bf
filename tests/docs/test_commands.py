"""Every `mailbell` command line that the pages show is one: command, options and all."""

import re
import shlex

import click
import pytest

from mailbell.cli.main import commands
from tests.tools import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINE = re.compile(r"^(?:\$ )?(?:sudo -u \w+ |\S*bin/)?mailbell ((?!serve --data` )[a-z].*)$", re.MULTILINE)
INLINE = re.compile(r"`mailbell ([a-z][^`]*)`")


def shown() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        text = page.read_text()
        blocks = "\n".join(re.findall(r"^```(?:console|sh)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
        lines = LINE.findall(blocks) + INLINE.findall(
            re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        )
        found += [(page.name, re.split(r" +#| && | &$|;|\||>", line)[0].strip()) for line in lines]
    return found


@pytest.mark.parametrize(("page", "line"), shown())
def test_a_command_line_is_understood(page: str, line: str) -> None:
    words = shlex.split(line)
    command: click.Command = commands
    context = click.Context(commands, info_name="mailbell")
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        assert found is not None, f"{page}: there is no command {words[0]}"
        command, words = found, words[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    options = {name for each in command.params for name in each.opts} | {"-h", "--help"}
    assert not [word for word in words if word.startswith("-") and word != "-" and word not in options]


def test_there_are_many() -> None:
    assert len(shown()) > 25
