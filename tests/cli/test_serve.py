"""`mailbell serve`, as a user runs it."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner

from mailbell.cli.main import commands

SETTINGS = """
data = "never"
[ioservers.door]
port = 25
listen = ["127.0.0.1"]
[sinks.hello]
type = "script"
path = "hello.js"
"""


@contextmanager
def serving(
    *arguments: str, program: tuple[str, ...] = ("-m", "mailbell")
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, *program, "serve", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until(process: subprocess.Popen[str], text: str) -> list[str]:
    assert process.stdout
    lines: list[str] = []
    while not lines or text not in lines[-1]:
        line = process.stdout.readline()
        assert line, f"it ended without {text!r}: {lines}"
        lines.append(line.rstrip("\n"))
    return lines


def test_a_mail_reaches_the_script_and_the_log(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(SETTINGS)
    (tmp_path / "hello.js").write_text("function IOEvent(name, value) { messageLog('hello ' + name); }")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    data = tmp_path / "data"
    with serving("-c", str(tmp_path / "m.toml"), "--port", str(port), "--data", str(data)) as process:
        first = lines_until(process, "send a first mail")
        assert any(f"I/O server door: SMTP on 127.0.0.1:{port}" in line for line in first)
        sent = CliRunner().invoke(commands, ["send", "--server", f"127.0.0.1:{port}"])
        assert sent.stdout.startswith("250 2.0.0 OK ")
        event = lines_until(process, "hello door.mail")
        assert "IO MONITOR FORCED: door.mail = " in event[0]
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")
    shown = [*first, *event, *rest.splitlines()]
    (file,) = (data / "logs").rglob("*-message.log")
    assert file.read_text().splitlines() == shown
    assert not (tmp_path / "never").exists()


def test_a_port_that_is_taken_is_one_line_and_status_1(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('[ioservers.smtp]\nlisten = ["127.0.0.1"]\n')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serving("-c", str(tmp_path / "m.toml"), "--port", str(port)) as process:
            errors = process.communicate(timeout=20)[1]
    assert process.returncode == 1
    assert errors.startswith(f"mailbell: ioservers.smtp: 127.0.0.1 port {port} is taken")
    assert errors.count("\n") == 1


WITHOUT_UVLOOP = """\
import sys
sys.modules["uvloop"] = None  # as where it is not installed
from mailbell.cli.main import main
main()
"""


def test_where_uvloop_is_not_installed_asyncio_serves(tmp_path: Path) -> None:
    (tmp_path / "hello.js").write_text("function IOEvent(name, value) { messageLog('hello ' + name); }")
    (tmp_path / "m.toml").write_text(SETTINGS)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    arguments = ("-c", str(tmp_path / "m.toml"), "--port", str(port), "--data", str(tmp_path / "data"))
    with serving(*arguments, program=("-c", WITHOUT_UVLOOP)) as process:
        assert " on asyncio" in lines_until(process, "send a first mail")[0]
        CliRunner().invoke(commands, ["send", "--server", f"127.0.0.1:{port}"])
        lines_until(process, "hello door.mail")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_script_of_the_command_line_gets_the_mail(tmp_path: Path) -> None:
    (tmp_path / "bell.py").write_text("def on_mail(event):\n    messageLog('ding ' + event['subject'])\n")
    (tmp_path / "m.toml").write_text('[ioservers.smtp]\nlisten = ["127.0.0.1"]\n[web]\nlisten = "off"\n')
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--data", str(tmp_path / "data"), "--script", str(tmp_path / "bell.py")]
    with serving("-c", str(tmp_path / "m.toml"), *options) as process:
        lines_until(process, "send a first mail")
        sent = ["send", "--server", f"127.0.0.1:{port}", "--subject", "at the door"]
        CliRunner().invoke(commands, sent)
        lines_until(process, "ding at the door")
