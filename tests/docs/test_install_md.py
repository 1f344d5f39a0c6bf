"""docs/install.md names files that there are, and its completion works in bash."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.tools import ROOT, need

PAGE = (ROOT / "docs" / "install.md").read_text()
MAILBELL = Path(sys.executable).with_name("mailbell")


def test_every_file_that_it_names_is_there() -> None:
    named = set(re.findall(r"(?:packaging|requirements)/[\w.]+", PAGE))
    assert len(named) >= 6
    assert not [name for name in named if not (ROOT / name).is_file()]


def test_bash_completes_commands_and_options() -> None:
    bash = need("bash")
    line = re.search(r"^\$ (_MAILBELL_COMPLETE=bash_source mailbell)", PAGE, re.MULTILINE)
    assert line
    script = f"""
        eval "$({line[1]})"
        complete -p mailbell
        COMP_WORDS=(mailbell sta) COMP_CWORD=1
        _mailbell_completion mailbell
        echo "${{COMPREPLY[@]}}"
        COMPREPLY=()
        COMP_WORDS=(mailbell serve --p) COMP_CWORD=2
        _mailbell_completion mailbell
        echo "${{COMPREPLY[@]}}"
    """
    path = f"{MAILBELL.parent}:{os.environ['PATH']}"
    said = subprocess.check_output([bash, "-c", script], env={**os.environ, "PATH": path}, text=True)
    assert said.splitlines()[1:] == ["status", "--port"]
