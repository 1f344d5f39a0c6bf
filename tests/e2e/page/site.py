"""`mailbell serve` with its page, and a Chromium that looks at it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import aiosmtplib
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

from tests import service
from tests.tools import find, free_port, leave_out

FLAGS = [
    "--no-sandbox",  # Chromium has none for root
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]
PATIENCE = 20_000.0
"""Milliseconds; long enough for a machine that does other things too."""

DESK = (1280, 800)
PHONE = (360, 740)


class Site:
    """A running server: what it takes by SMTP, what its API says."""

    def __init__(self, url: str, smtp: int, config: Path, http: aiohttp.ClientSession) -> None:
        """`smtp`: the port."""
        self.url = url
        self.smtp = smtp
        self.http = http
        self._config = config
        self._running: service.Service | None = None

    async def start(self) -> None:
        """Run, until it listens."""
        self._running = await service.start(self._config, self.smtp)
        await self._running.line(r"API on http")

    async def stop(self) -> None:
        """End, if it runs."""
        if self._running is not None and self._running.process.returncode is None:
            await self._running.stop()

    async def mail(self, subject: str = "Motion", text: str = "at the gate", **fields: str) -> None:
        """Send a mail with a text."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "Gate <cam@cams.lan>", "alarm@house.lan", subject
        for name, value in fields.items():
            del message[name.replace("_", "-")]
            message[name.replace("_", "-")] = value
        message.set_content(text)
        await self.put(message)

    async def put(self, *messages: EmailMessage | bytes) -> None:
        """Send them over one connection; they are in the inbox when it returns."""
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=self.smtp, start_tls=False)
        async with client:
            for message in messages:
                octets = message if isinstance(message, bytes) else message.as_bytes()
                _, reply = await client.sendmail("cam@cams.lan", ["alarm@house.lan"], octets)
        await self._listed(reply.split()[-1])

    async def _listed(self, id_: str) -> None:
        """On a machine that is very busy an answer may not know of it yet."""
        async with asyncio.timeout(PATIENCE / 1000):
            while True:
                async with self.http.get(f"{self.url}/api/v1/message/{id_}/event") as response:
                    if response.status != 404:
                        return
                await asyncio.sleep(0.02)

    async def get(self, path: str) -> Any:
        """An answer in JSON."""
        async with self.http.get(self.url + path) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def change(self, method: str, path: str, body: object) -> Any:
        """Do something."""
        async with self.http.request(method, self.url + path, json=body) as response:
            text = await response.text()
            assert response.status == 200, text
            return text

    async def clear(self) -> None:
        """Empty the inbox."""
        await self.change("DELETE", "/api/v1/messages", {})

    async def id(self, query: str = "") -> str:
        """The newest mail, or the newest that a query finds."""
        path = f"/api/v1/search?query={query}" if query else "/api/v1/messages"
        found: str = (await self.get(path))["messages"][0]["ID"]
        return found


@asynccontextmanager
async def serving(sinks: str = "", web: str = "", ioserver: str = "", **files: str) -> AsyncIterator[Site]:
    """A server with these sinks, options of the web server and the I/O server (TOML), and files beside it."""
    with TemporaryDirectory(prefix="mailbell-page-") as name:
        folder, port = Path(name), free_port()
        more = f'[web]\nlisten = "127.0.0.1:{port}"\n{web}\n{sinks}'
        config, smtp = service.configure(folder, more, ioserver, files)
        async with aiohttp.ClientSession() as http:
            site = Site(f"http://127.0.0.1:{port}", smtp, config, http)
            try:
                await site.start()
                yield site
            finally:
                await site.stop()


@asynccontextmanager
async def browsing(*flags: str) -> AsyncIterator[Browser]:
    """The system's Chromium; the test is left out where it is missing."""
    path = find("chromium") or leave_out("chromium is not installed: sudo scripts/apt page")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=[*FLAGS, *flags])
        try:
            yield browser
        finally:
            await browser.close()


class Watch:
    """What a page does that it must not do: errors, and requests to others that were not blocked."""

    def __init__(self, url: str) -> None:
        self._own = (url, url.replace("http", "ws", 1), "data:", "blob:", "about:")
        self.problems: list[str] = []
        self.strange: dict[Request, str] = {}
        """Requests to others, and what became of them."""
        self.allowed: list[str] = []
        """Patterns of what a test brings about on purpose."""

    def follow(self, context: BrowserContext) -> None:
        context.on("request", self._request)
        context.on("requestfailed", self._failed)
        context.on("console", self._said)
        context.on("weberror", lambda error: self.problems.append(f"uncaught: {error.error}"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith(self._own):
            self.strange[request] = "sent"

    def _failed(self, request: Request) -> None:
        if request in self.strange:
            self.strange[request] = request.failure or "failed"

    def check(self) -> None:
        sent = [f"{how}: {each.url}" for each, how in self.strange.items() if how not in ("csp", "origin")]
        left = [each for each in self.problems if not any(re.search(one, each) for one in self.allowed)]
        assert not left + sent, "\n".join(left + sent)


@asynccontextmanager
async def looking(
    browser: Browser, site: Site, size: tuple[int, int] = DESK, **options: Any
) -> AsyncIterator[tuple[Page, Watch]]:
    """A page that nothing is open on yet, and what it does wrong; that fails at the end."""
    context = await browser.new_context(
        base_url=site.url,
        viewport={"width": size[0], "height": size[1]},
        locale="en-GB",
        timezone_id="Europe/Rome",
        **options,
    )
    context.set_default_timeout(PATIENCE)
    watch = Watch(site.url)
    watch.follow(context)
    try:
        yield await context.new_page(), watch
    finally:
        await context.close()
    watch.check()


async def settled(page: Page) -> None:
    """Two frames on: what was asked to be drawn is drawn."""
    await page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody tells of."""
    async with asyncio.timeout(PATIENCE / 1000):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
