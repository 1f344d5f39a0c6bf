"""systemd's protocols, with the other side played by the test: readiness, watchdog, handed-over sockets."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosmtplib
import pytest

from mailbell import systemd
from tests.service import Service, configure
from tests.tools import ROOT

HANDED = """\
import os, sys
os.dup2(int(os.environ["FD"]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[1], sys.argv[1:])
"""
"""What systemd does between fork and exec: the socket becomes descriptor 3, and the child is named."""


class Manager:
    """What the service manager hears."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(str(path))

    async def hears(self, wanted: str) -> list[str]:
        """Wait for a line; all that was heard up to it."""
        heard: list[str] = []
        async with asyncio.timeout(20):
            while wanted not in heard:
                octets = await asyncio.get_running_loop().sock_recv(self.socket, 4096)
                heard += octets.decode().split("\n")
        return heard


@asynccontextmanager
async def managed(
    config: Path, listening: socket.socket | None = None, **more: str
) -> AsyncIterator[Service]:
    """`mailbell serve` as systemd starts it."""
    command = [sys.executable, "-m", "mailbell", "serve", "-c", str(config)]
    environment = {**os.environ, **more}
    if listening is not None:
        command = [sys.executable, "-c", HANDED, *command]
        environment |= {"FD": str(listening.fileno()), "LISTEN_FDS": "1"}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
        pass_fds=[listening.fileno()] if listening is not None else [],
        cwd=ROOT,
    )
    service = Service(process, 0)
    try:
        yield service
    finally:
        await service.stop()


async def send(port: int) -> str:
    _, said = await aiosmtplib.send(
        "Subject: x\r\n\r\n",
        sender="a@lan",
        recipients=["b@lan"],
        hostname="127.0.0.1",
        port=port,
        start_tls=False,
    )
    return said


async def test_readiness_signs_of_life_reload_and_stop(tmp_path: Path) -> None:
    manager = Manager(tmp_path / "notify")
    config, _ = configure(tmp_path)
    notify = str(tmp_path / "notify")
    async with managed(config, NOTIFY_SOCKET=notify, WATCHDOG_USEC="100000") as service:
        await manager.hears("READY=1")
        assert [line for line in service.lines if "SMTP on" in line] or await service.line("SMTP on")
        await manager.hears("WATCHDOG=1")
        await manager.hears("WATCHDOG=1")
        service.process.send_signal(signal.SIGHUP)
        heard = await manager.hears("RELOADING=1")
        heard += await manager.hears("READY=1")
        assert any(line.startswith("MONOTONIC_USEC=") for line in heard)
        service.process.send_signal(signal.SIGTERM)
        await manager.hears("STOPPING=1")
    manager.socket.close()


async def test_a_socket_that_systemd_holds_outlives_the_server(tmp_path: Path) -> None:
    """Between the end of one and the start of the next nobody is refused: who comes waits in the backlog."""
    config, port = configure(tmp_path)
    with socket.create_server(("127.0.0.1", port), backlog=64) as listening:
        async with managed(config, listening) as service:
            await service.line(f"SMTP on 127.0.0.1:{port}")
            assert "OK " in await send(port)
            assert await service.stop() == 0
        waiting = asyncio.create_task(send(port))
        async with managed(config, listening) as service:
            assert "OK " in await waiting
            await service.line(f"SMTP on 127.0.0.1:{port}")


async def test_one_that_is_named_like_an_ioserver_goes_over_its_port(tmp_path: Path) -> None:
    config, _ = configure(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        async with managed(config, listening, LISTEN_FDNAMES="smtp") as service:
            await service.line(f"SMTP on 127.0.0.1:{port}")
            assert "OK " in await send(port)


async def test_one_that_nobody_wants_is_told(tmp_path: Path) -> None:
    config, port = configure(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        other = listening.getsockname()[1]
        async with managed(config, listening, LISTEN_FDNAMES="mailbell.socket") as service:
            await service.line(rf"socket mailbell\.socket \(port {other}\) is for no I/O server")
            await service.line(f"SMTP on 127.0.0.1:{port}")


async def test_a_script_does_not_see_the_sockets(tmp_path: Path) -> None:
    script = """
import json, os
def on_mail(event):
    open({path!r}, "w").write(json.dumps(dict(os.environ)))
    messageLog("written")
"""
    files = {"note.py": script.format(path=str(tmp_path / "seen"))}
    config, port = configure(tmp_path, '[sinks.note]\ntype = "script"\npath = "note.py"', files=files)
    with socket.create_server(("127.0.0.1", port)) as listening:
        async with managed(config, listening) as service:
            await send(port)
            await service.line("written")
    seen = json.loads((tmp_path / "seen").read_text())
    assert not [name for name in seen if name.startswith("LISTEN_")]


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"):
        monkeypatch.delenv(name, raising=False)
    systemd.notify("READY=1")
    assert systemd.watchdog_interval() is None
    assert systemd.Sockets().take("smtp", 25) == []


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "rubbish"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_how_often_it_is_to_give_signs_of_life(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], interval: float | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert systemd.watchdog_interval() == interval


def test_sockets_of_another_process_are_left_alone() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "smtp"}
    assert systemd.Sockets(environment).take("smtp", 25) == []
    assert environment == {}


def test_a_manager_that_is_gone_is_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    systemd.notify("READY=1")
    assert "could not be told READY=1: No such file" in caplog.text
