"""The control socket: the API for the command line, on a Unix socket in the data folder.

Who may enter the folder may do all: the socket has mode 0600, and there is no password.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from mailbell.errors import ListenError
from mailbell.web.routing import Route, Router
from mailbell.web.streams import STOP, Streams
from mailbell.web.sunpath import NAME, address

LARGEST = 2**28
"""The most octets of a request: a mail that is imported may be large, and who may ask may do all."""


class ControlSocket:
    """Answers on `control.sock` of the data folder, which must be locked: what is there is stale."""

    def __init__(self, folder: Path, routes: Sequence[Route], streams: Streams | None = None) -> None:
        """`streams`: those of the routes, which end on stop."""
        self._folder = folder
        self._streams = streams or Streams()
        application = web.Application(client_max_size=LARGEST)
        application.router.add_route("*", "/{path:.*}", Router(routes).answer)
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=STOP, handle_signals=False
        )

    async def start(self) -> None:
        """Listen; ListenError when the folder does not take sockets."""
        await self._runner.setup()
        try:
            listening = _listen(self._folder)
        except OSError as error:
            await self._runner.cleanup()
            raise ListenError(
                f"{self._folder / NAME}: {error.strerror}; sockets need a local disk"
            ) from error
        assert self._runner.server is not None  # noqa: S101  setup() has made it
        self._server = await asyncio.get_running_loop().create_unix_server(
            self._runner.server, sock=listening
        )

    async def stop(self) -> None:
        """Stop answering, and leave no socket behind."""
        self._server.close()
        self._streams.close()
        await self._runner.cleanup()
        (self._folder / NAME).unlink(missing_ok=True)


def _listen(folder: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        (folder / NAME).unlink(missing_ok=True)
        os.fchmod(listening.fileno(), 0o600)  # Linux makes the file with the mode that the socket has
        with address(folder) as name:
            listening.bind(name)
        listening.listen()
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening
