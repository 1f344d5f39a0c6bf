"""The control socket, and the transcripts over it."""

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mailbell.cli.control import ask
from mailbell.clock import SystemClock
from mailbell.errors import ListenError, MailbellError
from mailbell.receiving import Receiving
from mailbell.server.transcript import Transcripts
from mailbell.web.control import ControlSocket
from mailbell.web.sessions import routes
from tests.conftest import BOTH_LOOPS
from tests.web.reception import with_transcripts


@pytest.fixture
def reception(tmp_path_factory: pytest.TempPathFactory) -> Receiving:
    """One that brought a mail, one that failed, one that is open."""
    made = Transcripts(SystemClock())
    for number, mails in enumerate((1, 0, 0)):
        transcript = made.begin("smtp", "192.168.1.5", 4000 + number)
        transcript.record("<", "EHLO\x1b[31m")
        transcript.mails = mails
        if number < 2:
            made.end(transcript, "The client said QUIT.")
    return with_transcripts(made, tmp_path_factory.mktemp("data"))


@pytest.fixture
async def control(tmp_path: Path, reception: Receiving) -> AsyncIterator[ControlSocket]:
    control = ControlSocket(tmp_path, routes(reception))
    await control.start()
    yield control
    await control.stop()


async def get(folder: Path, path: str) -> Any:
    return await asyncio.to_thread(ask, folder, path)


@BOTH_LOOPS
async def test_the_sessions(control: ControlSocket, tmp_path: Path) -> None:
    every = (await get(tmp_path, "/api/v1/sessions"))["sessions"]
    assert [each["id"] for each in every] == [3, 2, 1], "newest first"
    assert [each["failed"] for each in every] == [False, True, False]
    assert every[0]["ended_at"] is None
    assert "lines" not in every[0]
    failed = await get(tmp_path, "/api/v1/sessions?failed=true&limit=1")
    assert [each["id"] for each in failed["sessions"]] == [2]
    one = await get(tmp_path, "/api/v1/sessions/2")
    assert (one["ip"], one["port"], one["outcome"]) == ("192.168.1.5", 4001, "The client said QUIT.")
    [line] = one["lines"]
    assert (line["mark"], line["text"]) == ("<", "EHLO\x1b[31m"), "as it came: JSON can't be forged"


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/api/v1/sessions/99", "there is no session 99"),
        ("/api/v1/sessions/x", "there is no session x"),
        ("/api/v1/sessions/" + "9" * 40, "there is no session 9999"),
        ("/api/v1/sessions/%C2%B2", "there is no session"),
        ("/api/v1/sessions?limit=-1", r"the query: Expected `int` >= 0 - at `\$.limit`"),
        ("/api/v1/nothing", "there is no /api/v1/nothing here"),
    ],
)
async def test_questions_that_make_no_sense(
    control: ControlSocket, tmp_path: Path, path: str, complaint: str
) -> None:
    with pytest.raises(MailbellError, match=complaint):
        await get(tmp_path, path)


@BOTH_LOOPS
async def test_the_socket_is_private_and_goes_with_the_server(tmp_path: Path, reception: Receiving) -> None:
    control = ControlSocket(tmp_path, routes(reception))
    await control.start()
    found = (tmp_path / "control.sock").stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
    await control.stop()
    assert not list(tmp_path.iterdir())
    with pytest.raises(MailbellError, match=r"no server runs on the data folder .*--data DIR"):
        await get(tmp_path, "/api/v1/sessions")


async def test_the_socket_of_a_killed_server_is_replaced(tmp_path: Path, reception: Receiving) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / "control.sock"))
    with pytest.raises(MailbellError, match="no server runs"):
        await get(tmp_path, "/")
    control = ControlSocket(tmp_path, routes(reception))
    await control.start()
    assert (await get(tmp_path, "/api/v1/sessions/1"))["mails"] == 1
    await control.stop()


@BOTH_LOOPS
async def test_a_folder_whose_path_is_longer_than_a_socket_name_may_be(
    tmp_path: Path, reception: Receiving
) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    control = ControlSocket(folder, routes(reception))
    await control.start()
    assert (await get(folder, "/api/v1/sessions/1"))["mails"] == 1
    await control.stop()
    assert not list(folder.iterdir())


async def test_a_folder_that_takes_no_socket(reception: Receiving) -> None:
    with pytest.raises(ListenError, match=r"/proc/self/control\.sock: .*; sockets need a local disk"):
        await ControlSocket(Path("/proc/self"), routes(reception)).start()


async def test_an_answer_is_json(control: ControlSocket, tmp_path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(tmp_path / "control.sock")
    writer.write(b"GET /api/v1/sessions HTTP/1.0\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert b"Content-Type: application/json" in head
    assert len(json.loads(body)["sessions"]) == 3
