"""What is installed: the wheel carries the files of the page."""

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.tools import ROOT


def test_the_wheel_carries_the_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    [wheel] = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    page = ROOT / "src/mailbell/web/static"
    files = [each for each in page.rglob("*") if each.is_file()]
    assert page / "index.html" in files
    assert {f"mailbell/web/static/{each.relative_to(page).as_posix()}" for each in files} <= packed
