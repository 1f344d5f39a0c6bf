"""Make docs/screenshots: every view, in both themes and on a telephone. `make screenshots` runs it.

The server is a real one. Only its clock is put forward from mail to mail, so that a day and a half fits into
seconds, and so that the pictures are the same each time.
"""

import asyncio
import os
import random
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import aiohttp
import aiosmtplib
import uvloop
from playwright.async_api import Browser, Page, expect

from mailbell.app import App
from mailbell.clock import SystemClock
from mailbell.config import load
from tests.e2e.page.scene import Sent, mail, today, yesterday
from tests.e2e.page.site import DESK, PATIENCE, PHONE, Site, browsing, settled
from tests.sinks.receiver import Receiver, receiving
from tests.tools import ROOT, free_port, need

FOLDER = ROOT / "docs/screenshots"
NOW = datetime(2026, 11, 22, 18, 24, 49, tzinfo=ZoneInfo("Europe/Rome"))
SCRIPT = """
function IOEvent(name, value) {
  var mail = JSON.parse(value)
  if (/motion/i.test(mail.subject || "")) messageLog("light on for " + mail.from.replace(/ <.*/, ""))
  if (/door/.test(mail.subject || "")) errorLog("somebody has left a door open: " + mail.subject)
}
"""
CONFIG = """
data = "data"
[ioservers.smtp]
port = {smtp}
listen = ["127.0.0.1"]
proxies = ["127.0.0.1"]
[ioservers.doors]
port = {doors}
listen = ["127.0.0.1"]
proxies = ["127.0.0.1"]
auth = "required"
auth_plaintext = true
users = "users"
[web]
listen = "127.0.0.1:{web}"
{sign_in}
[sinks.lights]
type = "script"
path = "lights.js"
[sinks.home-assistant]
type = "webhook"
url = "{hook}"
[sinks.archive]
type = "smtp"
host = "127.0.0.1"
port = {closed}
match.has_attachment = true
[sinks.pager]
type = "command"
argv = ["/bin/sh", "-c", "echo 'pager: the modem does not answer' >&2; exit 1"]
retry_for = "30 s"
match.subject = ["*door*", "*battery*"]
"""

DECODE = """() => {
  const seen = [...document.images].filter((image) => image.getBoundingClientRect().top < innerHeight);
  return Promise.all(seen.map((image) => image.decode()));
}"""
WORKING = ("lights", "home-assistant")

Theme = Literal["light", "dark"]


class Shot(NamedTuple):
    """A view: its file's name, its address, what shows that it is there, and what to do before."""

    name: str
    hash: str
    sign: str
    prepare: Callable[[Page], Awaitable[object]] | None = None


SHOTS = [
    Shot("inbox", "#/inbox", ".mail"),
    Shot("search", "#/inbox?q=battery", ".mail"),
    Shot("text", "#/inbox/{gate}/text", ".thumbs img"),
    Shot("html", "#/inbox/{confirm}/html", "iframe"),
    Shot("attachments", "#/inbox/{gate}/attachments", ".card img"),
    Shot("headers", "#/inbox/{confirm}/headers", ".header"),
    Shot("source", "#/inbox/{gate}/source", ".panel pre"),
    Shot("event", "#/inbox/{gate}/event", ".json"),
    Shot("deliveries", "#/inbox/{battery}/deliveries", ".delivery.trouble"),
    Shot("monitor", "#/monitor", ".points pre"),
    Shot("connections", "#/connections/{failed}", ".dialogue li"),
    Shot("sinks", "#/sinks", ".last-error"),
    Shot("overview", "#/overview", ".tile .bars"),
    Shot("keys", "#/inbox", ".mail", lambda page: page.keyboard.press("?")),
]


class Hand(SystemClock):
    """A clock with a hand that one can put forward."""

    def __init__(self, now: datetime) -> None:
        self._ahead = now.timestamp() - time.time()
        self._leapt = 0.0
        self._stopped: float | None = None

    def time(self) -> float:
        return self._stopped or time.time() + self._ahead

    def monotonic(self) -> float:
        return time.monotonic() + self._leapt

    def put(self, now: datetime) -> None:
        leap = now.timestamp() - self.time()
        assert leap > -60, "it goes forward, but for what sending takes"
        self._ahead += leap
        self._leapt += max(0.0, leap)

    def stop(self, now: datetime) -> None:
        """Let it be this moment from now on."""
        self._stopped = now.timestamp()


class Scene:
    """The server, and the devices around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Hand(at(1, "07:00:00"))
        self.smtp, self.doors, self.web = free_port(), free_port(), free_port()

    @asynccontextmanager
    async def serving(self, hook: Receiver, sign_in: str = "") -> AsyncIterator[Site]:
        """Run it."""
        (self.folder / "lights.js").write_text(SCRIPT)
        (self.folder / "users").write_text("door7:{PLAIN}secret\nrobin:{PLAIN}secret\n")
        config = self.folder / "mailbell.toml"
        config.write_text(
            CONFIG.format(
                smtp=self.smtp,
                doors=self.doors,
                web=self.web,
                sign_in=sign_in,
                hook=hook.url,
                closed=free_port(),
            )
        )
        async with App(load(config), self.clock) as app, aiohttp.ClientSession() as http:
            assert app.url
            yield Site(app.url, self.smtp, config, http)

    def connect(self, ip: str, port: int) -> socket.socket:
        """A connection as a balancer makes it for a device."""
        made = socket.create_connection(("127.0.0.1", port))
        made.sendall(f"PROXY TCP4 {ip} 192.168.1.5 {random.randint(40000, 60000)} 25\r\n".encode())
        return made

    async def send(self, sent: Sent) -> None:
        """A device sends its mail."""
        self.clock.put(at(sent.day, sent.clock))
        sender = re.search(r"[\w.]+@[\w.]+", str(sent.message["From"] or ""))
        recipient = re.search(r"[\w.]+@[\w.]+", str(sent.message["To"]))
        assert recipient
        client = aiosmtplib.SMTP(sock=self.connect(sent.ip, self.smtp), start_tls=False)
        async with client:
            await client.sendmail(
                sender[0] if sender else "input@house.lan", [recipient[0]], sent.message.as_bytes()
            )

    async def talk(self, ip: str, port: int, *lines: bytes) -> None:
        """A device says this, whatever it is answered, and goes."""
        reader, writer = await asyncio.open_connection(sock=self.connect(ip, port))
        await reader.read(1000)
        for line in lines:
            writer.write(line)
            async with asyncio.timeout(PATIENCE / 1000):
                await reader.read(4000)
        writer.close()

    def distrust(self, ip: str, port: int) -> None:
        """A device that knows no self-signed certificate."""
        with self.connect(ip, port) as made, suppress(ssl.SSLError):
            made.recv(1000)
            for line in (b"EHLO NVR-B2\r\n", b"STARTTLS\r\n"):
                made.sendall(line)
                made.recv(4000)
            ssl.create_default_context().wrap_socket(made, server_hostname="bell.lan")


def at(day: int, clock: str) -> datetime:
    """So many days before today, at this time."""
    hours, minutes, seconds = map(int, clock.split(":"))
    return (NOW - timedelta(days=day)).replace(hour=hours, minute=minutes, second=seconds)


async def play(scene: Scene, site: Site) -> None:
    """A day and a half; the last hour is busy."""
    numbers = random.Random(7)
    beats = sorted(NOW - timedelta(seconds=15 + 3480 * numbers.random() ** 0.8) for _ in range(140))
    ticks = [
        Sent(
            0,
            f"{beat:%H:%M:%S}",
            "10.0.4.40",
            mail("Gauge <gauge@plant.lan>", "ops@plant.lan", "heartbeat", "ok\n"),
        )
        for beat in beats
    ]
    for sent in sorted([*yesterday(), *today(), *ticks], key=lambda each: (-each.day, each.clock)):
        await scene.send(sent)
        await delivered(site)
    scene.clock.put(NOW - timedelta(seconds=8))
    await asyncio.to_thread(scene.distrust, "192.168.1.70", scene.smtp)
    await scene.talk("192.168.1.77", scene.smtp, b"GET / HTTP/1.1\r\n")
    wrong = b"AUTH PLAIN AGRvb3I3AGd1ZXNz\r\n"
    await scene.talk("192.168.1.91", scene.doors, b"EHLO door7\r\n", wrong, b"QUIT\r\n")
    scene.clock.stop(NOW)
    await site.change("DELETE", "/api/v1/search?query=subject:heartbeat", None)


async def delivered(site: Site) -> None:
    """Wait until the sinks that work have had it: the clock is to leap only then."""
    async with asyncio.timeout(PATIENCE / 1000):
        while any(each["lag"] for each in await site.get("/api/v1/sinks") if each["name"] in WORKING):
            continue
    await site.get("/api/v1/messages?limit=1")  # an answer waits for the inbox


async def places(site: Site) -> dict[str, str]:
    """The IDs that addresses need."""
    sessions = (await site.get("/api/v1/sessions?failed=true"))["sessions"]
    failed = next(each for each in sessions if each["tls"] or "TLS" in each["outcome"])
    return {
        "gate": await site.id("gate"),
        "confirm": await site.id("confirm"),
        "battery": await site.id("replacing"),
        "failed": str(failed["id"]),
    }


@asynccontextmanager
async def looking(browser: Browser, url: str, size: tuple[int, int], theme: Theme) -> AsyncIterator[Page]:
    """A page whose clock is the server's."""
    context = await browser.new_context(
        base_url=url,
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,
        locale="en-GB",
        timezone_id="Europe/Rome",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE)
    page = await context.new_page()
    await page.clock.set_fixed_time(NOW)
    yield page
    await context.close()


async def shoot(page: Page, shot: Shot, ids: dict[str, str], suffix: str) -> None:
    """Take one."""
    await page.goto("about:blank")
    await page.goto("/" + shot.hash.format(**ids))
    await expect(page.locator(shot.sign).first).to_be_visible()
    await expect(page.locator("[aria-busy=true]")).to_have_count(0)
    await expect(page.locator(".connection.connecting")).to_have_count(0)
    await page.evaluate(DECODE)
    if shot.prepare:
        await shot.prepare(page)
    await settled(page)
    await page.screenshot(path=FOLDER / f"{shot.name}-{suffix}.png")
    print(f"{shot.name}-{suffix}.png")


LOOKS: list[tuple[str, tuple[int, int], Theme]] = [
    ("light", DESK, "light"),
    ("dark", DESK, "dark"),
    ("phone", PHONE, "light"),
]


async def take(browser: Browser, site: Site, shots: list[Shot], ids: dict[str, str]) -> None:
    for suffix, size, theme in LOOKS:
        found = [each["ID"] for each in (await site.get("/api/v1/messages"))["messages"]] if ids else []
        for chosen, read in ((found[5:], True), (found[:5], False)):
            if chosen:
                await site.change("PUT", "/api/v1/messages", {"IDs": chosen, "Read": read})
        async with looking(browser, site.url, size, theme) as page:
            for shot in shots:
                await shoot(page, shot, ids, suffix)


async def main(names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    wanted = [shot for shot in SHOTS if not names or shot.name in names]
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder))
        async with browsing() as browser, receiving() as hook:
            async with scene.serving(hook) as site:
                if not names or "empty" in names:
                    await take(browser, site, [Shot("empty", "#/inbox", ".first .button")], {})
                if wanted:
                    await play(scene, site)
                    await take(browser, site, wanted, await places(site))
            if not names or "sign-in" in names:
                async with scene.serving(hook, 'users = "users"') as site:
                    await take(browser, site, [Shot("sign-in", "", ".sign-in")], {})
    squeeze()


def squeeze() -> None:
    """Few colours are enough for a page: a third of the octets."""
    files = sorted(FOLDER.glob("*.png"))
    command = [need("pngquant"), "--force", "--skip-if-larger", "--strip", "--ext=.png", "--speed=1", "128"]
    subprocess.run([*command, *files], check=False)  # 98: one was small already
    print(f"{len(files)} files, {sum(each.stat().st_size for each in files) // 1000} kB in {FOLDER}")


if __name__ == "__main__":
    os.environ["TZ"] = str(NOW.tzinfo)  # the server's own, of its log
    time.tzset()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1:]))
