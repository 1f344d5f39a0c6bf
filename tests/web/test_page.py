"""The page's code: its types, its form, and the parts of it that need no browser."""

import re
import subprocess
from pathlib import Path

import pytest

from mailbell.web.static import FOLDER
from tests.tools import ROOT, need, need_module

NODE = ROOT / "tests/e2e/node"
COMMANDS = {
    "typescript": ["node_modules/.bin/tsc", "-p", "tsconfig.json"],
    "prettier": ["node_modules/.bin/prettier", "--config", ".prettierrc.json", "--check", f"{FOLDER}/*.js"],
}


def run(*command: str | Path) -> None:
    done = subprocess.run([need("node"), *command], cwd=NODE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", COMMANDS)
def test_form_and_types(module: str) -> None:
    need_module(module)
    command = COMMANDS[module]
    done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_modules() -> None:
    run("--test", *(ROOT / "tests/web/static").glob("*.test.mjs"))


def test_the_page_names_each_file_of_its_own() -> None:
    """A module that nobody imports, a style sheet that nobody loads, a file that is not there."""
    files = {each.name for each in FOLDER.iterdir()} - {"index.html"}
    named = set(re.findall(r'"/static/([^"]+)"', (FOLDER / "index.html").read_text()))
    for module in FOLDER.glob("*.js"):
        named.update(
            re.findall(
                r'^(?:import|\} from|import .* from) .*?"\./([^"]+)"', module.read_text(), re.MULTILINE
            )
        )
        named.update(re.findall(r'"/static/([^"]+)"', module.read_text()))
    assert named == files
