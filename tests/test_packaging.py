"""packaging/: the unit is what systemd takes, the configs are valid, the container's parts fit together."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from mailbell.cli.settings import toml
from mailbell.config import load
from tests.tools import ROOT, need

FOLDER = ROOT / "packaging"
DATA = Path("/var/lib/mailbell")


def test_the_config_has_every_key_with_its_default(tmp_path: Path) -> None:
    text = (FOLDER / "mailbell.toml").read_text()
    made = toml().replace('data = "mailbell-data"', f'data = "{DATA}"')
    assert text == made, "make it anew: make settings"
    (tmp_path / "empty.toml").write_text("")
    assert load(FOLDER / "mailbell.toml") == replace(load(tmp_path / "empty.toml"), data=DATA)


NEEDED = {
    "script": f'path = "{ROOT}/examples/mail.js"',
    "command": 'argv = ["/bin/true"]',
    "webhook": 'url = "http://host/"',
    "smtp": 'host = "mail.lan"',
    "apprise": 'urls = ["json://host"]',
    "nats": 'servers = ["nats://host"]\nsubject = "mail"',
    "mqtt": 'url = "mqtt://host"',
}


@pytest.mark.parametrize("kind", NEEDED)
def test_a_sink_of_the_config_says_its_defaults_once_it_is_no_comment(tmp_path: Path, kind: str) -> None:
    tables = (FOLDER / "mailbell.toml").read_text().split("\n# [sinks.NAME]\n")[1:]
    [table] = [each for each in tables if each.startswith(f'# type = "{kind}"')]
    keys = re.findall(r"^# (\w+ = .*)$", table, re.MULTILINE)
    written = [key for key in keys if not key.endswith(("# needed", "# none"))]
    assert written
    plain = f'[sinks.x]\ntype = "{kind}"\n{NEEDED[kind]}\n'
    names = {line.partition(" ")[0] for line in NEEDED[kind].splitlines()}
    more = [line for line in written[1:] if line.partition(" ")[0] not in names]
    assert parsed(tmp_path, plain + "\n".join(more)) == parsed(tmp_path, plain)


def parsed(folder: Path, text: str) -> object:
    (folder / "m.toml").write_text(text)
    return load(folder / "m.toml").sinks["x"]


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    analyze = need("systemd-analyze")
    for name in ("mailbell.service", "mailbell.socket"):
        text = (FOLDER / name).read_text().replace("/opt/mailbell/bin/mailbell", "/bin/true")
        (tmp_path / name).write_text(text)
    units = [str(path) for path in tmp_path.iterdir()]
    checked = subprocess.run([analyze, "verify", *units], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    exposed = [analyze, "security", "--offline=true", "--threshold=25", str(tmp_path / "mailbell.service")]
    assert subprocess.run(exposed, capture_output=True).returncode == 0


def test_the_unit_asks_for_what_the_server_does() -> None:
    unit = (FOLDER / "mailbell.service").read_text()
    settings = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    assert settings["Type"] == "notify"
    assert int(settings["WatchdogSec"]) >= 10
    assert f"/var/lib/{settings['StateDirectory']}" == str(DATA)
    assert settings["ExecStart"].endswith("serve -c /etc/mailbell/mailbell.toml")
    assert settings["AmbientCapabilities"] == settings["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    socket = (FOLDER / "mailbell.socket").read_text()
    assert "FileDescriptorName=smtp" in socket
    assert "smtp" in load(FOLDER / "mailbell.toml").ioservers


def test_the_container_and_its_compose_file_fit() -> None:
    dockerfile = (FOLDER / "Dockerfile").read_text()
    settings = load(FOLDER / "container.toml")
    [service] = compose()["services"].values()
    exposed = dockerfile.partition("EXPOSE ")[2].split("\n")[0].split()
    inner = [str(port).rpartition(":")[2] for port in service["ports"]]
    web = settings.web.listen.rpartition(":")[2]
    assert inner == exposed == [str(settings.ioservers["smtp"].port), web]
    assert service["ports"][1].startswith("127.0.0.1:"), "the inbox has no password"
    assert settings.web.insecure
    assert "data:/data" in service["volumes"]
    assert str(settings.data) == "/data"
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
    for name in shlex.split(" ".join(copied)):
        assert (ROOT / name).exists(), name
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    assert {f"!{name.split('/')[0]}" for name in shlex.split(" ".join(copied))} <= set(ignored)
    last = dockerfile.rpartition("FROM ")[2]
    assert re.search(r"^USER (?!0)\d+", last, re.MULTILINE)
    assert "HEALTHCHECK" in last


def compose() -> Any:
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


@pytest.mark.parametrize("name", ["mailbell.toml", "container.toml"])
def test_the_configs_pass_the_check(name: str) -> None:
    assert load(FOLDER / name).ioservers["smtp"].tls == "starttls"
