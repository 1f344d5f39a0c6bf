"""The client side of the control socket: a question to the running server."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from mailbell.errors import MailbellError
from mailbell.web.sunpath import NAME, address

TIMEOUT = 10.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, folder: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._folder = folder

    def connect(self) -> None:
        """Over the socket in the folder, instead of to a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        with address(self._folder) as name:
            self.sock.connect(name)


def ask(folder: Path, path: str, body: object = None) -> Any:
    """GET from the server that runs on this data folder, or POST: octets as they are, all else as JSON.

    MailbellError says so when none runs.
    """
    connection = _Connection(folder)
    try:
        if body is None:
            connection.request("GET", path)
        else:
            connection.request("POST", path, body if isinstance(body, bytes) else json.dumps(body))
        response = connection.getresponse()
        text = response.read().decode()
    except (FileNotFoundError, ConnectionRefusedError):
        raise MailbellError(
            f"no server runs on the data folder {folder}; name the one of `serve` with -c FILE or --data DIR"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or error
        raise MailbellError(f"{folder / NAME}: {reason}") from error
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise MailbellError(text)
    return json.loads(text)
