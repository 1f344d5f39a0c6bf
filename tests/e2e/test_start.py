"""What a person sees who starts `mailbell serve` where it can't run: one clear line, and no damage."""

import os
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.service import configure, serving
from tests.tools import need


def run(config: Path) -> subprocess.CompletedProcess[str]:
    """Run `mailbell serve` that is expected to end by itself, without root's special rights."""
    plain = [need("setpriv"), "--bounding-set=-net_bind_service,-dac_override"] if os.geteuid() == 0 else []
    command = [*plain, sys.executable, "-m", "mailbell", "serve", "-c", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def only_line(ended: subprocess.CompletedProcess[str], status: int) -> str:
    """The one line of its complaint."""
    assert ended.returncode == status, ended.stderr + ended.stdout
    [line] = ended.stderr.splitlines()
    assert "Traceback" not in ended.stdout
    return line


async def test_the_first_lines_say_what_listens_where_the_data_is_and_how_to_send(tmp_path: Path) -> None:
    async with serving(tmp_path, ioserver='hostname = "bell.lan"') as service:
        await service.line(rf"I/O server smtp: SMTP on 127\.0\.0\.1:{service.port}$")
        await service.line(rf"data in {tmp_path / 'data'}$")
        await service.line(rf"mailbell send --server 127\.0\.0\.1:{service.port}$")
        assert await service.stop() == 0
        assert service.lines[-2].endswith(" - stopped")


def test_every_problem_of_the_settings_at_once(tmp_path: Path) -> None:
    config, _ = configure(tmp_path, '[sinks.x]\ntype = "script"\npath = "gone.js"', "threads = 0\nprot = 25")
    ended = run(config)
    assert ended.returncode == 2
    assert "ioservers.smtp.threads: expected" in ended.stderr
    assert "ioservers.smtp.prot" in ended.stderr
    assert "gone.js" in ended.stderr


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        config, port = configure(tmp_path, port=other.getsockname()[1])
        assert f"127.0.0.1 port {port} is taken by another program" in only_line(run(config), 1)


def test_a_port_without_the_right(tmp_path: Path) -> None:
    floor = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if floor <= 1:
        pytest.skip("on this machine everybody may listen on any port")
    config, _ = configure(tmp_path, port=floor - 1)
    line = only_line(run(config), 1)
    assert "needs a right" in line
    assert "setcap" in line
    assert "--port 2525" in line


def test_a_data_folder_that_can_not_be_written(tmp_path: Path) -> None:
    config, _ = configure(tmp_path)
    (tmp_path / "data").mkdir(mode=0o555)
    assert "--data" in only_line(run(config), 1)
    assert not list((tmp_path / "data").iterdir())


async def test_a_data_folder_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        await service.stop()
    journal = tmp_path / "data" / "journal.db"
    with sqlite3.connect(journal) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    before = journal.read_bytes()
    line = only_line(run(tmp_path / "mailbell.toml"), 1)
    assert "journal.db" in line
    assert "newer" in line
    assert journal.read_bytes() == before


async def test_a_second_instance_on_the_same_data_folder(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        config, _ = configure(tmp_path)
        line = only_line(run(config), 1)
        assert f"in use by process {service.process.pid}" in line
        assert service.process.returncode is None


@pytest.mark.parametrize("name", ["journal.db", "delivery.db"])
async def test_a_damaged_file(tmp_path: Path, name: str) -> None:
    async with serving(tmp_path) as service:
        await service.stop()
    file = tmp_path / "data" / name
    damaged = b"not a database at all" * 1000
    file.write_bytes(damaged)
    assert name in only_line(run(tmp_path / "mailbell.toml"), 1)
    assert file.read_bytes() == damaged


def test_closed_standard_descriptors_do_no_harm(tmp_path: Path) -> None:
    config, _ = configure(tmp_path)
    command = f"exec {sys.executable} -m mailbell serve -c {config} <&- >&- 2>&-"
    process = subprocess.Popen(["/bin/sh", "-c", command])
    try:
        log = tmp_path / "data" / "logs"
        for _ in range(500):
            if any("send a first mail" in each.read_text() for each in log.glob("*/*.log")):
                break
            time.sleep(0.02)
        else:
            pytest.fail("it did not come up")
    finally:
        process.terminate()
    assert process.wait(10) == 0
