"""A whole server in this process, and a client of its API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import aiosmtplib
import pytest

from mailbell.app import App
from mailbell.delivering import Delivering
from mailbell.settings import IoServerSettings, LogSettings, ServiceSettings, SmtpSettings, WebSettings
from tests.tools import free_port


class Api:
    """What a test tool does: sends mail by SMTP and asks over HTTP."""

    def __init__(self, app: App, http: aiohttp.ClientSession) -> None:
        self.app = app
        self.http = http
        assert app.url
        self.url = app.url

    @property
    def delivering(self) -> Delivering:
        """The half that delivers, in this process."""
        assert isinstance(self.app.delivering, Delivering)
        return self.app.delivering

    @property
    def smtp(self) -> int:
        return self.app.receiving.servers["smtp"].port

    async def mail(self, subject: str = "Motion", text: str = "at the gate", **fields: str) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "Gate <cam@cams.lan>", "a@house.lan", subject
        for name, value in fields.items():
            message[name.replace("_", "-")] = value
        message.set_content(text)
        await self.put(message)

    async def put(self, message: EmailMessage | bytes) -> None:
        await aiosmtplib.send(
            message,
            sender="cam@cams.lan",
            recipients=["a@house.lan", "hidden@house.lan"],
            hostname="127.0.0.1",
            port=self.smtp,
            start_tls=False,
        )

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, str]:
        """Status and text."""
        given: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        if body is None:
            given = {}
        async with self.http.request(
            method, self.url + path, headers={k.replace("_", "-"): v for k, v in headers.items()}, **given
        ) as response:
            return response.status, await response.text()

    async def get(self, path: str) -> Any:
        """An answer in JSON."""
        async with self.http.get(self.url + path) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "application/json"
            return await response.json()

    async def ok(self, method: str, path: str, body: object = None) -> None:
        """Do something that is answered with "ok"."""
        assert await self.ask(method, path, body) == (200, "ok")

    async def subjects(self, path: str = "/api/v1/messages") -> list[str]:
        return [each["Subject"] for each in (await self.get(path))["messages"]]

    async def ids(self) -> list[str]:
        return [each["ID"] for each in (await self.get("/api/v1/messages"))["messages"]]


def settings(
    path: Path, web: WebSettings | None = None, relay: SmtpSettings | None = None
) -> ServiceSettings:
    return ServiceSettings(
        data=path,
        ioservers={"smtp": IoServerSettings(port=free_port(), listen=("127.0.0.1",), tls="off")},
        log=LogSettings(terminal=False),
        web=web or WebSettings(listen=f"127.0.0.1:{free_port()}"),
        sinks={} if relay is None else {"relay": relay},
    )


@asynccontextmanager
async def serving(what: ServiceSettings) -> AsyncIterator[Api]:
    async with App(what) as app, aiohttp.ClientSession() as http:
        yield Api(app, http)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(settings(tmp_path)) as api:
        yield api
