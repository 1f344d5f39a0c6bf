"""Rude clients at random: commands in any order, cut off anywhere, floods, half a handshake, resets.

Whatever they do, in the end every slot is free, no memory is held, each connection has ended with a sentence,
nothing was logged that is a bug of ours, and an honest client is served.
"""

import asyncio
import random
import socket
import ssl
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from mailbell.clock import SystemClock
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.server.ioserver import IoServer
from mailbell.server.memory import Budget
from mailbell.server.tls import SelfSigned, TlsContext
from mailbell.server.transcript import Transcripts
from mailbell.settings import ChaosSettings, Duration, IoServerSettings, JournalSettings, Size
from tests.conftest import BOTH_LOOPS

DIALOGUE = [
    b"EHLO x\r\n",
    b"MAIL FROM:<a@b>\r\n",
    b"RCPT TO:<c@d>\r\n",
    b"DATA\r\n",
    b"Subject: x\r\n\r\nhi\r\n.\r\n",
    b"BDAT 5\r\nhello",
    b"BDAT 4 LAST\r\nabcd",
]
RUDE = [
    b"RSET\r\n", b"STARTTLS\r\n", b"AUTH LOGIN\r\n", b"dXNlcg==\r\n", b"*\r\n", b"QUIT\r\n", b".\r\n",
    b"NOOP\n", b"\x16\x03\x01\x00\x05hello", b"x" * 300_000, b"HELP\r\n" * 5000,
    b"\0\xff\n",
    b"".join(DIALOGUE),
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n", b"PROXY TCP4 10.1.1.1 2.2.2.2 1 2\r\nNOOP\r\n",
]  # fmt: skip
SETTINGS = IoServerSettings(
    listen=("127.0.0.1",),
    port=0,
    tls="starttls",
    threads=8,
    proxies=("127.0.0.7/32",),
    idle_timeout=Duration(3),
    min_rate=Size(0),
    chaos=ChaosSettings(drop=0.05),
)


class Rude:
    """One rude client, from its first word to its end."""

    def __init__(self, port: int, seed: int, trusting: ssl.SSLContext) -> None:
        self.chance = random.Random(seed)
        self.trusting = trusting
        self.address = ("127.0.0.1", port)

    def live(self) -> None:
        """Do it; that the server cuts the line is part of the game."""
        source = f"127.0.0.{self.chance.randrange(1, 30)}"
        with ExitStack() as self.open, suppress(OSError, ValueError):
            client = socket.create_connection(self.address, 5, source_address=(source, 0))
            self.open.enter_context(client)
            client.settimeout(0.2)
            self.talk(self.secured(client) if self.chance.random() < 0.2 else client)

    def secured(self, client: socket.socket) -> socket.socket:
        secured = self.trusting.wrap_socket(client, do_handshake_on_connect=False)
        self.open.enter_context(secured).do_handshake()
        return secured

    def talk(self, client: socket.socket) -> None:
        for _ in range(self.chance.randrange(14)):
            words = self.chance.choice(DIALOGUE if self.chance.random() < 0.7 else RUDE)
            if self.chance.random() < 0.15:
                words = words[: self.chance.randrange(len(words))]
            client.sendall(words)
            if self.chance.random() < 0.5:
                with suppress(TimeoutError):
                    client.recv(65536)
            if words == b"STARTTLS\r\n" and self.chance.random() < 0.7:
                client = self.secured(client)
        self.part(client)

    def part(self, client: socket.socket) -> None:
        way = self.chance.random()
        if way < 0.4:  # with a reset
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif way < 0.6:  # half
            client.shutdown(socket.SHUT_WR)
            client.recv(65536)
        client.close()


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")  # wrap_socket(), where it fails
@BOTH_LOOPS
@pytest.mark.parametrize("count", [150, pytest.param(5000, marks=pytest.mark.faults)])
async def test_rude_clients_leave_nothing_behind(
    tmp_path: Path, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock, budget, seed = SystemClock(), Budget(400_000), random.randrange(10**9)
    chance = random.Random(seed)
    print(f"seed {seed}")
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    with DataFolder(tmp_path) as folder, ThreadPoolExecutor(24) as crowd:
        journal = await SqliteJournal.open(folder, JournalSettings(), clock)
        tls = TlsContext(SelfSigned(tmp_path, "bell.lan", clock), "1.2")
        server = IoServer("smtp", SETTINGS, journal, Transcripts(clock, count), clock, budget=budget, tls=tls)
        await server.start()
        loop = asyncio.get_running_loop()
        rude = [Rude(server.port, chance.randrange(10**9), trusting) for _ in range(count)]
        await asyncio.gather(*(loop.run_in_executor(crowd, each.live) for each in rude))
        with suppress(TimeoutError):
            async with asyncio.timeout(30):
                while server.slots.taken or server.slots.waiting:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        assert not server.connections
        assert server.slots.taken == 0
        assert (budget.used, budget.paused, dict(server._sources.open)) == (0, 0, {})
        transcripts = list(server.transcripts)
        assert all(each.outcome and each.ended_at for each in transcripts), "each ended with a sentence"
        assert sum(each.mails for each in transcripts) == journal.last_sequence
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert (await reader.readline()).startswith(b"220")
        writer.close()
        await server.stop(1)
        await journal.close()
    assert not [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
