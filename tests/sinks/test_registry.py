"""Types of sinks: ours are imported only where they are set up, those of others come by entry points."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from mailbell.config import load
from mailbell.errors import ConfigError
from mailbell.scripting.state import IoState
from mailbell.settings import AnySink
from mailbell.sinks import registry
from tests.service import configure, start
from tests.tools import ROOT

EXAMPLE = ROOT / "examples" / "sink"


def python(code: str, **environment: str) -> str:
    """Run code in an interpreter of its own; what it prints."""
    environment = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_what_a_sink_needs_is_imported_for_it_alone() -> None:
    heavy = {"aiohttp", "aiosmtplib", "nats", "apprise", "paho", "importlib.metadata"}
    code = f"import sys, mailbell.config, mailbell.sinks.registry; print({heavy} & set(sys.modules))"
    assert python(code) == "set()"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, installed by pip into a folder of its own."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(folder), str(EXAMPLE)]
    subprocess.run(command, check=True, timeout=120)
    return folder


async def test_the_example_of_a_sink_of_ones_own(installed: Path, tmp_path: Path) -> None:
    """`serve` delivers to it, `check` knows its settings, and a mail sent is a line in its file."""
    config, port = configure(tmp_path, '[sinks.archive]\ntype = "file"\npath = "events.jsonl"')
    file = tmp_path / "events.jsonl"
    service = await start(config, port, PYTHONPATH=str(installed))
    try:
        await service.line(rf"sink archive: file {tmp_path}/events.jsonl")
        await service.line(r"I/O server smtp: SMTP on")
        sent = f"""
import smtplib
with smtplib.SMTP("127.0.0.1", {port}) as client:
    client.sendmail("a@lan", ["b@lan"], b"Subject: for the file\\r\\n\\r\\nx\\r\\n")
"""
        python(sent)
        async with asyncio.timeout(20):
            while not (file.exists() and file.read_text().endswith("\n")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        assert await service.stop() == 0
    [line] = file.read_text().splitlines()
    assert json.loads(line)["subject"] == "for the file"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('pth = "x"', "sinks.archive.pth: unknown key; did you mean path?"),
        ("", "sinks.archive.path: missing; it has no default. The file, which grows."),
    ],
)
def test_its_settings_are_checked_like_ours(
    installed: Path, tmp_path: Path, text: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed)
    config, _ = configure(tmp_path, f'[sinks.archive]\ntype = "file"\n{text}')
    assert problem in problems(config)


def problems(config: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(config)
    return str(caught.value)


def entry_point(folder: Path, target: str) -> None:
    """Make what the installation of a package with this entry point leaves."""
    info = folder / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[mailbell.sinks]\nbroken = {target}\n")


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("nowhere:Sink", "can't be used: ModuleNotFoundError: No module named 'nowhere'"),
        ("mailbell.sinks.command:CommandSink", "can't be used: AttributeError: "),
        ("tests.sinks.test_registry:Mistaken", "has no settings with that tag"),
    ],
)
def test_a_package_that_is_broken(
    tmp_path: Path, target: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_point(tmp_path / "installed", target)
    monkeypatch.syspath_prepend(tmp_path / "installed")
    config, _ = configure(tmp_path, '[sinks.x]\ntype = "broken"')
    said = problems(config)
    assert "sinks.x.type: the package that adds the type broken " in said
    assert problem in said


class Mistaken:
    """A sink whose settings are those of another type."""

    Settings = get_args(AnySink)[0]


MINIMAL = {
    "script": "path = 'a.js'",
    "command": "argv = ['true']",
    "webhook": "url = 'http://127.0.0.1/'",
    "smtp": "host = '127.0.0.1'",
    "apprise": "urls = ['json://127.0.0.1']",
    "nats": "servers = ['nats://127.0.0.1']",
    "mqtt": "",
}


@pytest.mark.parametrize("kind", [str(each.__struct_config__.tag) for each in get_args(AnySink)])
def test_each_of_ours_is_made_from_its_settings(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.js").touch()
    config, _ = configure(tmp_path, f"[sinks.x]\ntype = '{kind}'\n{MINIMAL[kind]}")
    settings = load(config).sinks["x"]
    sink = registry.make("x", settings, IoState())
    assert sink.name == "x"
    assert "x" in repr(sink)
    assert settings.describe().startswith(kind)
