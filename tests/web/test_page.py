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
    """A module that only another module names would be asked for a round trip later."""
    files = {each.name for each in FOLDER.iterdir()} - {"index.html"}
    assert set(re.findall(r'"/static/([^"]+)"', (FOLDER / "index.html").read_text())) == files


def test_every_module_is_of_use() -> None:
    pattern = re.compile(r'^import .*?"\./([^"]+)"|^\} from "\./([^"]+)"', re.MULTILINE)
    imported = {a or b for each in FOLDER.glob("*.js") for a, b in pattern.findall(each.read_text())}
    assert {each.name for each in FOLDER.glob("*.js")} - imported == {"app.js", "first-paint.js"}
