"""The five commands of docs/quickstart.md, in an empty environment, from the wheel that the sdist makes."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tools import ROOT, free_port, leave_out

pytestmark = pytest.mark.faults

PAGE = (ROOT / "docs" / "quickstart.md").read_text()
VERSIONS = ["3.11", "3.12", "3.13", "3.14"]


def python(version: str) -> str:
    """A Python of this version that runs; without one the test is left out."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for found in [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))]:
        if found and subprocess.run([found, "-c", "import ensurepip"], capture_output=True).returncode == 0:
            return str(found)
    return leave_out(f"there is no Python {version} with ensurepip")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run([*build, "-t", "sdist"], cwd=ROOT, check=True, capture_output=True)
    [sdist] = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    subprocess.run(
        [*build, "-t", "wheel"], cwd=sdist.with_name(sdist.name[:-7]), check=True, capture_output=True
    )
    [made] = folder.glob("*.whl")
    return made


@contextmanager
def shell(command: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        ["sh", "-c", command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def run(command: str, folder: Path) -> str:
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_five_commands_in_an_empty_environment(tmp_path: Path, wheel: Path, version: str) -> None:
    make, install, write, serve, send = PAGE.partition("```sh\n")[2].partition("```")[0].splitlines()
    port = str(free_port())
    serve, send = (line.replace("2525", port) for line in (serve, send))
    run(make.partition(" && ")[0].replace("python3", python(version)), tmp_path)
    folder = tmp_path / make.rpartition(" ")[2]
    run(install.replace("mailbell", str(wheel)) + " --quiet --disable-pip-version-check", folder)
    run("bin/pip check", folder)
    run(write, folder)
    web = f" --web 127.0.0.1:{free_port()}"
    with shell("exec " + serve.removesuffix(" &") + web, folder) as server:
        assert server.stdout
        until(server, f"Python {version}")
        until(server, "send a first mail")
        assert run(send, folder).startswith("250 2.0.0 OK ")
        until(server, "ding: somebody at the door")


def until(server: subprocess.Popen[str], text: str) -> None:
    assert server.stdout
    lines = []
    for line in server.stdout:
        lines.append(line)
        if text in line:
            return
    pytest.fail(f"ended without {text!r}:\n{''.join(lines)}")


def test_the_sdist_has_what_a_packager_needs(wheel: Path) -> None:
    [sdist] = wheel.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in (
        "LICENSE",
        "README.md",
        "packaging/mailbell.service",
        "docs/install.md",
        "src/mailbell/app.py",
    ):
        assert needed in names
    assert not [name for name in names if re.search(r"__pycache__|\.venv|mailbell-data", name)]


async def test_pytest_finds_the_plugin_of_the_wheel(tmp_path: Path, wheel: Path) -> None:
    run(
        f"{python('3.11')} -m venv env && env/bin/pip install -q --disable-pip-version-check {wheel} pytest",
        tmp_path,
    )
    (tmp_path / "test_it.py").write_text("def test_it(mailbell):\n    assert mailbell.events == []\n")
    said = await asyncio.to_thread(run, "env/bin/python -m pytest -q test_it.py", tmp_path)
    assert "1 passed" in said
