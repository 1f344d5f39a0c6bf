"""`mailbell doctor`: each of its lines, on a machine that has what it looks for."""

import asyncio
import os
import platform
import socket
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mailbell.cli import examine as module
from mailbell.cli.main import commands
from mailbell.journal.folder import DataFolder
from tests.service import serving
from tests.tools import free_port


def doctor(folder: Path, ioserver: str = "", more: str = "", port: int = 0, web: str = "off") -> Result:
    """Examine a config for a port of the loopback."""
    config = folder / "m.toml"
    server = f'[ioservers.smtp]\nlisten = ["127.0.0.1"]\nport = {port or free_port()}\n{ioserver}\n'
    config.write_text(f'data = "data"\n{server}[web]\nlisten = "{web}"\n{more}\n')
    return CliRunner().invoke(commands, ["doctor", "-c", str(config)])


def line(result: Result, about: str) -> str:
    [found] = [line for line in result.stdout.splitlines() if about in line]
    return found


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_machine_that_is_well(tmp_path: Path) -> None:
    script = tmp_path / "a.py"
    script.write_text("def on_mail(event):\n    pass\n")
    result = doctor(tmp_path, more=f'[sinks.a]\ntype = "script"\npath = "{script}"')
    assert result.exit_code == 0, result.output
    assert (
        line(result, "SQLite")
        == f"ok     Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
    assert line(result, "writes a second").split()[0] in ("ok", "note")
    assert line(result, " is free and").startswith("ok     ioservers.smtp: port ")
    assert line(result, "a self-signed").startswith("ok ")
    assert line(result, " sink a: ").startswith("ok     sink a: script ")
    assert line(result, "only this machine reaches").startswith("note ")
    assert not (tmp_path / "data").exists(), "it only looks"
    assert not list(tmp_path.glob(".mailbell*"))


def test_a_port_that_is_taken(tmp_path: Path, taken: int) -> None:
    result = doctor(tmp_path, port=taken)
    assert result.exit_code == 1
    assert line(result, "is taken by").startswith(
        f"WRONG  ioservers.smtp: 127.0.0.1 port {taken} is taken by another"
    )


def test_the_address_of_the_api(tmp_path: Path, taken: int) -> None:
    said = line(doctor(tmp_path, web=f"127.0.0.1:{taken}"), "web: ")
    assert said.startswith(f"WRONG  web: 127.0.0.1:{taken}: Address already in use; choose another")
    free = f"127.0.0.1:{free_port()}"
    assert line(doctor(tmp_path, web=free), "web: ") == f"ok     web: {free} is free and may be listened on"


def test_receivers_that_can_and_that_can_not_be_reached(tmp_path: Path, taken: int) -> None:
    closed = free_port()
    sinks = f"""
        [sinks.there]
        type = "webhook"
        url = "http://127.0.0.1:{taken}/secret"
        [sinks.broker]
        type = "mqtt"
        url = "mqtt://127.0.0.1:{closed}"
        [sinks.relay]
        type = "smtp"
        host = "127.0.0.1"
        port = {closed}
        [sinks.nats]
        type = "nats"
        servers = ["nats://127.0.0.1:{taken}", "nats://127.0.0.1:{closed}"]
        subject = "x"
    """
    result = doctor(tmp_path, more=sinks)
    assert line(result, "sink there") == f"ok     sink there: 127.0.0.1 port {taken} can be reached"
    refused = f"port {closed} can't be reached: Connection refused; is it on, and its address right?"
    assert line(result, "sink broker") == f"WRONG  sink broker: 127.0.0.1 {refused}"
    assert line(result, "sink relay") == f"WRONG  sink relay: 127.0.0.1 {refused}"
    assert [each.split()[0] for each in result.stdout.splitlines() if "sink nats" in each] == ["ok", "WRONG"]
    assert "secret" not in result.stdout


def test_a_script_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def on_mail(event:\n")
    result = doctor(tmp_path, more='[sinks.a]\ntype = "script"\npath = "a.py"')
    assert "a.py:1" in line(result, " sink a: ")
    assert result.exit_code == 1


def certificate(folder: Path, until: datetime) -> str:
    """Write one that is good until then; the lines of the config."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bell.lan")])
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(until - timedelta(days=90))
        .not_valid_after(until)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "c.pem").write_bytes(made.public_bytes(pem))
    (folder / "k.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return 'certificate = "c.pem"\nkey = "k.pem"'


@pytest.mark.parametrize(("days", "state"), [(60, "ok"), (10, "WRONG"), (-1, "WRONG")])
def test_a_certificate_and_its_end(tmp_path: Path, days: int, state: str) -> None:
    until = datetime.now(UTC) + timedelta(days=days)
    said = line(doctor(tmp_path, certificate(tmp_path, until)), "the certificate")
    assert said.startswith(state)
    assert f"good until {until:%Y-%m-%d}" in said
    assert said.endswith("renew it") == (state == "WRONG")


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("rubbish")
    (tmp_path / "k.pem").write_text("rubbish")
    result = doctor(tmp_path, 'certificate = "c.pem"\nkey = "k.pem"')
    assert line(result, "can't be used as a certificate").startswith("WRONG ")


def test_a_folder_that_is_in_use_but_does_not_answer(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "data"):
        result = doctor(tmp_path)
    assert line(result, "in use by process").startswith("WRONG ")


def test_a_folder_in_memory(tmp_path: Path) -> None:
    if not os.access("/dev/shm", os.W_OK):
        pytest.fail("a Linux without /dev/shm")
    assert module._file_system(Path("/dev/shm")) == module.Finding(
        "wrong", "/dev/shm is on tmpfs, in memory: mail is gone with the next boot"
    )


def test_a_folder_on_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_mounted", lambda _: "nfs4")
    assert module._file_system(tmp_path).text.endswith("SQLite needs a local disk, so choose one with --data")


def test_a_folder_that_can_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    [finding] = module._folder(tmp_path / "data", running=False)
    assert finding == ("wrong", f"{tmp_path} can't be written: give it to the user that mailbell runs as")


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOW_SPACE", 2**62)
    assert line(doctor(tmp_path), "GiB free").endswith("below 64 MiB mail is refused")


@pytest.mark.parametrize(
    ("name", "value", "said"), [("SLOW", 10**9, "use an SSD"), ("TOO_FAST", 0, "a power cut may cost mail")]
)
def test_a_disk_too_slow_and_one_too_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: int, said: str
) -> None:
    monkeypatch.setattr(module, "SLOW", 0)
    monkeypatch.setattr(module, name, value)
    assert said in line(doctor(tmp_path), "writes a second")


def test_a_clock_that_was_never_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 86400.0)
    [finding] = module._clock()
    assert finding.state == "wrong"
    assert "Jan  2" in finding.text


async def test_beside_a_running_server(tmp_path: Path) -> None:
    async with serving(tmp_path, '[web]\nlisten = "off"') as service:
        config = str(tmp_path / "mailbell.toml")
        result = await asyncio.to_thread(CliRunner().invoke, commands, ["doctor", "-c", config])
        assert result.exit_code == 0, result.output
        assert line(result, "a server runs on").startswith("ok ")
        assert f"port {service.port} says '220 " in line(result, "says '220")
        assert "self-signed certificate is good until" in line(result, "the self-signed")
