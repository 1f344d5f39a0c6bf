"""aiosmtpd on uvloop, throwing mail away. Argument: the port. At its end it prints how many it took."""

import asyncio
import signal
import sys

import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session


class Discard:
    taken = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.taken += 1
        return "250 OK"


async def main(port: int) -> None:
    discard, stop = Discard(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await loop.create_server(lambda: SMTP(discard, hostname="localhost"), "127.0.0.1", port, backlog=1000)
    await stop.wait()
    print(discard.taken)


with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main(int(sys.argv[1])))
