"""`mailbell sessions`: what an integrator reads when a device says failed."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mailbell.cli import sessions
from mailbell.cli.main import commands
from mailbell.clock import SystemClock
from mailbell.server.transcript import Transcript, Transcripts
from mailbell.web.control import ControlSocket
from mailbell.web.sessions import routes
from tests.service import configure, start
from tests.web.reception import with_transcripts


def connection(transcripts: Transcripts, mails: int = 0) -> Transcript:
    transcript = transcripts.begin("door", "192.168.1.5", 4711)
    transcript.record(">", "220 bell.lan ESMTP mailbell")
    transcript.record("<", "EHLO cam")
    transcript.mails = mails
    return transcript


@pytest.fixture
async def transcripts(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Transcripts]:
    """Those of a running server."""
    transcripts = Transcripts(SystemClock())
    control = ControlSocket(tmp_path, routes(with_transcripts(transcripts, tmp_path_factory.mktemp("data"))))
    await control.start()
    yield transcripts
    await control.stop()


async def run(folder: Path, *arguments: str) -> Result:
    command = ["sessions", "--data", str(folder), *arguments]
    return await asyncio.to_thread(CliRunner().invoke, commands, command)


async def test_each_with_its_lines_and_why_it_ended(transcripts: Transcripts, tmp_path: Path) -> None:
    transcripts.end(connection(transcripts, 2), "The client said QUIT.")
    failed = connection(transcripts)
    failed.tls = "TLSv1.2 AES"
    transcripts.end(failed, "The client left.")
    connection(transcripts)
    result = await run(tmp_path)
    first, second, third = result.stdout.strip().split("\n\n")
    assert "192.168.1.5 port 4711 to door  2 mails" in first
    lines = second.split("\n")
    assert lines[0].startswith("#2  20")
    assert lines[0].endswith("192.168.1.5 port 4711 to door  FAILED")
    assert lines[1] == "    TLS: TLSv1.2 AES"
    assert [line[13:] for line in lines[2:4]] == ["> 220 bell.lan ESMTP mailbell", "< EHLO cam"]
    assert lines[4] == "    The client left."
    assert third.endswith("It is still open.")


async def test_the_failed_ones_and_a_single_one(transcripts: Transcripts, tmp_path: Path) -> None:
    for mails in (1, 0, 1, 0, 1):
        transcripts.end(connection(transcripts, mails), "over")
    assert [line[:2] for line in heads(await run(tmp_path, "--failed"))] == ["#2", "#4"]
    assert [line[:2] for line in heads(await run(tmp_path, "-n", "1"))] == ["#5"]
    assert [line[:2] for line in heads(await run(tmp_path, "3"))] == ["#3"]
    missing = await run(tmp_path, "9")
    assert (missing.exit_code, missing.stderr) == (
        1,
        "mailbell: there is no session 9; the last ones are kept\n",
    )


def heads(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [line for line in result.stdout.splitlines() if line.startswith("#")]


async def test_no_line_can_be_forged(transcripts: Transcripts, tmp_path: Path) -> None:
    transcript = connection(transcripts)
    transcript.record("<", "NOOP\r\n    0.001 > 250 forged\n\x1b[2J\u2028\u202e\x85")
    transcripts.end(transcript, "over")
    shown = (await run(tmp_path)).stdout
    assert "< NOOP\\r\\n    0.001 > 250 forged\\n\\x1b[2J\\u2028\\u202e\\x85\n" in shown
    assert len(shown.splitlines()) == 6


async def test_no_connection_yet(transcripts: Transcripts, tmp_path: Path) -> None:
    assert (await run(tmp_path)).stdout == "no connection yet\n"
    assert (await run(tmp_path, "--failed")).stdout == "no failed connection\n"


async def test_no_server_is_one_clear_line(tmp_path: Path) -> None:
    result = await run(tmp_path / "nowhere")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"mailbell: no server runs on the data folder {tmp_path / 'nowhere'}; ")
    assert result.stderr.count("\n") == 1


async def test_following_shows_those_that_end_once_each(
    transcripts: Transcripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "EVERY", 0)
    transcripts.end(connection(transcripts), "over")
    new = sessions._new(tmp_path, False)
    seen = asyncio.create_task(asyncio.to_thread(lambda: [next(new), next(new)]))
    while not seen.done():
        await asyncio.sleep(0.05)  # it asks again and again, and there is no telling when
        transcripts.end(connection(transcripts), "over")
    first, second = await seen
    assert 1 < first < second


async def test_a_killed_server_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    config, port = configure(tmp_path, '[web]\nlisten = "off"')
    for life in range(2):
        service = await start(config, port)
        await service.line("data in")
        with socket.create_connection(("127.0.0.1", port), 20) as client, client.makefile("rb") as file:
            file.readline()
            client.sendall(b"HELO \x1b[31mcam\r\nQUIT\r\n")
            file.read()
        result = await run(tmp_path / "data", "--failed")
        assert "< HELO \\x1b[31mcam\n" in result.stdout
        assert "    The client said QUIT.\n" in result.stdout
        await (service.kill() if life == 0 else service.stop())
    assert "no server runs" in (await run(tmp_path / "data")).stderr
