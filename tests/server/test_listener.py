"""Listening: all addresses or one clear line."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from mailbell.errors import ListenError
from mailbell.server.listener import bind_all, name


def test_both_families_on_one_port() -> None:
    first = bind_all("smtp", ("127.0.0.1",), 0)
    port = first[0].getsockname()[1]
    try:
        second = bind_all("smtp", ("::1",), port)
        assert name(first[0]) == f"127.0.0.1:{port}"
        assert name(second[0]) == f"[::1]:{port}"
        second[0].close()
    finally:
        first[0].close()


def test_a_taken_port_is_one_line_with_the_remedy_and_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(ListenError, match=r"127\.0\.0\.1 port \d+ is taken by another program.*--port"):
            bind_all("smtp", ("127.0.0.2", "127.0.0.1"), port)
        assert len(os.listdir("/proc/self/fd")) == before


def test_an_address_of_another_machine() -> None:
    with pytest.raises(ListenError, match="not an address of this machine"):
        bind_all("smtp", ("192.0.2.1",), 0)


EMFILE = """
import asyncio, logging, resource, socket, sys
from pathlib import Path
from mailbell.clock import SystemClock
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.server.ioserver import IoServer
from mailbell.server.transcript import Transcripts
from mailbell.settings import IoServerSettings, JournalSettings

async def main():
    clock = SystemClock()
    with DataFolder(Path(sys.argv[1])) as folder:
        journal = await SqliteJournal.open(folder, JournalSettings(), clock)
        settings = IoServerSettings(port=0, listen=("127.0.0.1",), tls="off", threads=100, max_per_source=100)
        server = IoServer("smtp", settings, journal, Transcripts(clock), clock)
        await server.start()
        free = len(list(Path("/proc/self/fd").iterdir())) - 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 10, free + 10))
        print(server.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await server.stop(1)
        await journal.close()

logging.basicConfig(stream=sys.stdout)
if sys.argv[2] == "uvloop":
    import uvloop
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())
else:
    asyncio.run(main())
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_running_out_of_file_descriptors_is_survived(tmp_path: Path, loop: str) -> None:
    """Thirty clients of a process that has room for ten: the others are served when these go."""
    command = [sys.executable, "-W", "error", "-c", EMFILE, str(tmp_path), loop]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
        ExitStack() as stack,
    ):
        assert process.stdin and process.stdout
        port = int(process.stdout.readline())
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in range(30)
        ]
        for client in clients:  # in order of arrival
            file = stack.enter_context(client.makefile("rwb", buffering=0))
            assert file.readline().startswith(b"220")
            file.write(b"MAIL FROM:<a@lan>\r\nRCPT TO:<b@lan>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")
            assert file.read().endswith(b"221 2.0.0 Bye\r\n")
        process.stdin.close()
        complaints = process.stdout.read().splitlines()
        assert process.wait(20) == 0
    assert len(complaints) == 1, "one line, not four a second"
    assert "new connections have to wait: Too many open files; raise the limit (ulimit -n)" in complaints[0]
