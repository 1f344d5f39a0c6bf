"""aiosmtpd on uvloop, writing each mail to a file, with an fsync of file and folder before the 250.

Arguments: the port and the folder. The files are written in threads, so that they do not hold each other up.
"""

import asyncio
import itertools
import os
import signal
import sys
from pathlib import Path

import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session


class Files:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._numbers = itertools.count(len(list(folder.iterdir())))

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        await asyncio.to_thread(self._write, f"{next(self._numbers)}.eml", content)
        return "250 OK"

    def _write(self, name: str, content: bytes) -> None:
        with (self.folder / name).open("xb", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


async def main(port: int, folder: Path) -> None:
    files, stop = Files(folder), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await loop.create_server(lambda: SMTP(files, hostname="localhost"), "127.0.0.1", port, backlog=1000)
    await stop.wait()


with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main(int(sys.argv[1]), Path(sys.argv[2])))
