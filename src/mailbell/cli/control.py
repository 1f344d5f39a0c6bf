"""The client side of the control socket: a question to the running server."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mailbell.errors import MailbellError
from mailbell.web.sunpath import NAME, address

TIMEOUT = 10.0
QUIET = 60.0
"""Seconds without a word on a stream, on which the server gives a sign of life more often."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, folder: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._folder = folder

    def connect(self) -> None:
        """Over the socket in the folder, instead of to a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with address(self._folder) as name:
            self.sock.connect(name)


def ask(folder: Path, path: str, body: object = None) -> Any:
    """GET from the server that runs on this data folder, or POST: octets as they are, all else as JSON.

    MailbellError says so when none runs.
    """
    plain = body if body is None or isinstance(body, bytes) else json.dumps(body)
    with _asked(folder, path, plain) as response:
        return json.loads(response.read().decode())


def follow(folder: Path, path: str, last: str | None) -> Iterator[tuple[str, str]]:
    """Yield ID and data of each server-sent event behind the `last`, until the server ends the stream."""
    headers = {} if last is None else {"Last-Event-ID": last}
    with _asked(folder, path, headers=headers, timeout=QUIET) as response:
        id_ = ""
        while line := _line(response):
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "id":
                id_ = value
            elif name == "data":
                yield id_, value


def _line(response: http.client.HTTPResponse) -> bytes:
    """The next line; empty at the end, in whatever way that comes."""
    try:
        return response.readline()
    except (ConnectionError, http.client.IncompleteRead, http.client.HTTPException):
        return b""


@contextmanager
def _asked(
    folder: Path,
    path: str,
    body: str | bytes | None = None,
    headers: dict[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> Iterator[http.client.HTTPResponse]:
    connection = _Connection(folder, timeout)
    try:
        connection.request("GET" if body is None else "POST", path, body, headers or {})
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise MailbellError(response.read().decode())
        yield response
    except (FileNotFoundError, ConnectionRefusedError):
        raise MailbellError(
            f"no server runs on the data folder {folder}; name the one of `serve` with -c FILE or --data DIR"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or error
        raise MailbellError(f"{folder / NAME}: {reason}") from error
    finally:
        connection.close()
