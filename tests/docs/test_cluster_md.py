"""docs/cluster.md and the files it speaks of: settings that load, a configuration that nats-server takes."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from mailbell.config import load
from mailbell.journal.stream import Layout
from tests.natsd import SERVERS, program
from tests.tools import ROOT

PAGE = (ROOT / "docs/cluster.md").read_text()
CLUSTER = ROOT / "packaging/cluster"


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILBELL_NATS_PASSWORD", "hunter2")


def test_the_settings_load(tmp_path: Path) -> None:
    [shown] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "shown.toml").write_text(shown)
    journal = load(tmp_path / "shown.toml").journal
    whole = load(CLUSTER / "mailbell.toml")
    assert journal == whole.journal
    assert journal.servers == ("nats://n1:4222", "nats://n2:4222", "nats://n3:4222")
    assert whole.ha.mode == "active-standby"


@pytest.mark.parametrize("which", SERVERS)
def test_the_servers_configuration_is_one(which: str) -> None:
    done = subprocess.run(
        [program(which), "-t", "-c", str(CLUSTER / "nats.conf")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_compose_file() -> None:
    services = yaml.safe_load((CLUSTER / "compose.yaml").read_text())["services"]
    assert sorted(services) == ["n1", "n2", "n3", "node1", "node2"]
    for service in services.values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert not source.startswith("./") or (CLUSTER / source).is_file()
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_the_streams_are_named() -> None:
    for each in Layout("MAILBELL", 3).streams():
        assert f"`{each['name']}`" in PAGE
