"""Monitor, Connections, Sinks and Overview."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from tests.e2e.page.site import Site, Watch, serving, until
from tests.sinks.receiver import Receiver, receiving

SINKS = """
[sinks.hook]
type = "webhook"
url = "{url}"
[sinks.talk]
type = "script"
path = "talk.js"
"""
TALK = """function IOEvent(name, value) {
  var subject = JSON.parse(value).subject
  messageLog("heard of " + subject)
  if (subject == "alarm") errorLog("alarm!")
}"""


@pytest.fixture(scope="module")
async def hook() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
async def server(hook: Receiver) -> AsyncIterator[Site]:
    async with serving(SINKS.format(url=hook.url), talk__js=TALK) as site:
        yield site


async def test_monitor(page: Page, site: Site) -> None:
    await site.mail("early")
    await page.goto("/#/monitor")
    lines = page.locator(".entry")
    await expect(lines.filter(has_text="heard of early")).to_have_count(1)
    await site.mail("alarm")
    await expect(lines.filter(has_text="smtp.mail =").last).to_contain_text('"subject":"alarm"')
    await expect(lines.filter(has_text="alarm!")).to_have_class("entry error")
    await expect(page.get_by_role("region", name="Data points")).to_contain_text('"subject": "alarm"')

    await page.get_by_role("button", name="Scripts").click()
    await expect(lines.filter(has_text="smtp.mail =")).to_have_count(0)
    await page.get_by_role("button", name="Errors").click()
    await expect(lines.filter(has_text="heard of")).to_have_count(0)
    await page.get_by_role("button", name="All").click()
    await page.get_by_label("Filter the lines").fill("HEARD of")
    await expect(lines.filter(has_text="smtp.mail =")).to_have_count(0)
    await page.get_by_label("Filter the lines").fill("")

    await page.get_by_role("button", name="Pause").click()
    await site.mail("while paused")
    await expect(page.get_by_role("button", name="Go on, ")).to_be_visible()
    await expect(lines.filter(has_text="heard of while paused")).to_have_count(0)
    await page.get_by_role("button", name="Go on").click()
    await expect(lines.filter(has_text="heard of while paused")).to_have_count(1)
    await page.get_by_role("button", name="Clear").click()
    await expect(lines).to_have_count(0)


async def test_monitor_follows_the_end_unless_one_reads(page: Page, site: Site) -> None:
    for number in range(40):
        await site.mail(f"n{number}")
    await page.goto("/#/monitor")
    lines = page.locator(".entry")
    await expect(lines.filter(has_text="heard of n39")).to_be_in_viewport()
    await page.locator(".log").evaluate("(log) => { log.scrollTop = 0 }")
    first = await lines.first.inner_text()
    await site.mail("the last one")
    await expect(lines.filter(has_text="heard of the last one")).to_have_count(1)
    assert await lines.first.inner_text() == first
    await expect(lines.first).to_be_in_viewport()
    await page.get_by_role("button", name="Newest").click()
    await expect(lines.filter(has_text="heard of the last one")).to_be_in_viewport()


async def test_a_device_that_fails_is_explained(page: Page, site: Site) -> None:
    await site.mail("a good one")
    reader, writer = await asyncio.open_connection("127.0.0.1", site.smtp)
    writer.write(b"EHLO ipcam\r\nMAIL FROM:<cam@x.lan>\r\nMAIL FROM:<cam@x.lan>\r\n")
    await reader.readuntil(b"503")
    await page.goto("/#/connections")
    still = page.get_by_role("region", name="Open").locator("a")
    await expect(still).to_have_count(1)
    writer.close()
    failed = page.get_by_role("region", name="Failed").locator("a")
    await expect(failed).to_have_count(1)
    await expect(failed).to_contain_text("No mail. Refused with “503 ")
    await expect(failed).to_contain_text("The client closed the connection")
    regions = await page.locator(".group").evaluate_all("(all) => all.map((each) => each.ariaLabel)")
    assert regions[0] == "Failed"
    assert "Brought mail" in regions
    await failed.click()
    await expect(page.locator(".outcome")).to_contain_text("The client closed the connection")
    dialogue = page.locator(".dialogue")
    await expect(dialogue.locator(".client").first).to_contain_text("EHLO ipcam")
    await expect(dialogue.locator(".refusal")).to_contain_text("503")
    await page.keyboard.press("Escape")
    await page.keyboard.press("j")
    await expect(page.locator(".group a[aria-current]")).to_have_count(1)


async def test_a_session_that_is_gone(page: Page, site: Site, watch: Watch) -> None:
    watch.allowed.append("404")
    await page.goto("/#/connections/999999")
    await expect(page.get_by_text("There is no session 999999")).to_be_visible()


async def test_pause_resume_and_replay(page: Page, site: Site, hook: Receiver) -> None:
    await page.goto("/#/sinks")
    card = page.get_by_role("region", name="hook")
    await expect(card).to_contain_text("webhook")
    await card.get_by_role("button", name="Pause").click()
    await expect(card).to_contain_text("Paused: asked for.")
    before = len(hook.requests)
    await site.mail("kept for later")
    await expect(card.locator(".figures")).to_contain_text("Waiting1")
    assert len(hook.requests) == before
    await card.get_by_role("button", name="Resume").click()
    await expect(card.locator(".figures")).to_contain_text("Waiting0")
    await until(lambda: b"kept for later" in hook.requests[-1].body)

    before = len(hook.requests)
    await card.get_by_role("button", name="Replay").click()
    await page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    await expect(page.get_by_text("on the way to hook again")).to_be_visible()
    await until(lambda: len(hook.requests) > before)
    await expect(card.get_by_role("img")).to_have_attribute(
        "aria-label", re.compile("Delivered over the last hour: [1-9]")
    )


async def test_overview(page: Page, site: Site) -> None:
    await site.mail()
    await page.goto("/#/overview")
    plot = page.get_by_role("img", name="Mails per minute over the last hour")
    await expect(plot).to_be_visible()
    for tile in (
        "From final dot to delivered",
        "Disk",
        "High availability",
        "I/O servers",
        "Sinks",
        "mailbell",
    ):
        await expect(page.get_by_role("region", name=tile, exact=True)).to_be_visible()
    await expect(page.get_by_role("region", name="High availability")).to_contain_text("Active")
    await expect(page.get_by_role("region", name="I/O servers")).to_contain_text(f"127.0.0.1:{site.smtp}")
    await page.get_by_role("link", name="All about the sinks").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sinks")


async def test_an_answer_that_fails_is_said(page: Page, site: Site, watch: Watch) -> None:
    """With what the server says, and it comes back by itself."""
    watch.allowed.append("503")
    await page.route(
        "**/api/v1/sinks", lambda route: route.fulfill(status=503, body="the disk is full; make room")
    )
    await page.goto("/#/sinks")
    await expect(page.get_by_role("alert")).to_have_text("The disk is full; make room.")
    await page.unroute("**/api/v1/sinks")
    await expect(page.get_by_role("region", name="hook")).to_be_visible()
    await expect(page.get_by_role("alert")).to_be_hidden()
