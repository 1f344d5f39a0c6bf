"""For everybody: axe-core's checks, both themes, a telephone, what a screen reader is told."""

from collections.abc import AsyncIterator
from typing import Literal

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.page.scene import today
from tests.e2e.page.site import DESK, PHONE, Site, looking, serving, settled
from tests.tools import ROOT, need_module

AXE = ROOT / "tests/e2e/node/node_modules/axe-core/axe.min.js"
SINKS = """
[sinks.hook]
type = "webhook"
url = "http://127.0.0.1:9/"
[sinks.pager]
type = "command"
argv = ["/bin/false"]
retry_for = "1 s"
"""
VIEWS = {
    "#/inbox": ".mail",
    "#/inbox?q=nothing": ".empty h2",
    "#/inbox/{id}/text": ".panel .body",
    "#/inbox/{id}/html": "iframe",
    "#/inbox/{id}/attachments": ".card img",
    "#/inbox/{id}/headers": ".header",
    "#/inbox/{id}/source": ".panel pre",
    "#/inbox/{id}/event": ".panel .json",
    "#/inbox/{id}/deliveries": ".delivery.trouble",
    "#/monitor": ".points pre",
    "#/connections": ".group a",
    "#/connections/1": ".dialogue li",
    "#/sinks": ".sink .last-error",
    "#/overview": ".tile .bars",
}
"""Each view, and what shows that it is there."""

Theme = Literal["light", "dark"]


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Site]:
    async with serving(SINKS) as site:
        await site.put(*(each.message for each in today()))
        yield site


@pytest.fixture
async def site(server: Site) -> Site:
    """Nothing is changed here: the mail may stay for the next test."""
    return server


async def findings(page: Page) -> list[str]:
    """What axe-core finds to be serious or critical."""
    need_module("axe-core")
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(f"{AXE.read_text()};null")  # not as an element, which the policy would block
    found = await page.evaluate("axe.run(document, { iframes: false, resultTypes: ['violations'] })")
    return [
        f"{each['id']} ({each['impact']}): {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


async def shown(page: Page, path: str, site: Site) -> None:
    """Go there, and wait for what is to be seen."""
    await page.goto(f"/{path.format(id=await site.id('confirm'))}")
    await expect(page.locator(VIEWS[path]).first).to_be_visible()
    await settled(page)


@pytest.mark.parametrize(("theme", "size"), [("light", DESK), ("dark", PHONE)], ids=["desk", "phone"])
async def test_axe_finds_nothing_serious(
    browser: Browser, site: Site, theme: Theme, size: tuple[int, int]
) -> None:
    async with looking(browser, site, size, color_scheme=theme, reduced_motion="reduce") as (page, _):
        found = []
        for view in VIEWS:
            await shown(page, view, site)
            found += [f"{view}: {each}" for each in await findings(page)]
        assert not found, "\n".join(found)


@pytest.mark.parametrize("key", ["?", "t", "x"])
async def test_axe_finds_nothing_serious_in_dialogs(browser: Browser, site: Site, key: str) -> None:
    async with looking(browser, site, reduced_motion="reduce") as (page, _):
        await shown(page, "#/inbox", site)
        await expect(page.locator(".mail").first).to_be_visible()
        await page.keyboard.press("j")
        await page.keyboard.press(key)
        await expect(page.get_by_role("dialog").or_(page.get_by_role("toolbar"))).to_be_visible()
        assert not await findings(page)


async def test_nothing_is_wider_than_a_telephone(browser: Browser, site: Site) -> None:
    async with looking(browser, site, PHONE, has_touch=True, is_mobile=True) as (page, _):
        for view in VIEWS:
            await shown(page, view, site)
            widths = (
                "[document.documentElement, document.querySelector('main')].map((each) => each.scrollWidth)"
            )
            assert max(await page.evaluate(widths)) <= PHONE[0], view


async def test_a_telephone(browser: Browser, site: Site) -> None:
    """List, mail, back to the list; all views under the thumb."""
    async with looking(browser, site, PHONE, has_touch=True, is_mobile=True) as (page, _):
        await page.goto("/")
        await page.get_by_role("link", name="Confirm your address").tap()
        await expect(page.locator(".message h2")).to_have_text("Confirm your address")
        await expect(page.locator(".mail").first).to_be_hidden()
        await page.get_by_role("button", name="Back to the list").tap()
        await expect(page.locator(".mail").first).to_be_visible()
        for name in ("Monitor", "Connections", "Sinks", "Overview"):
            await page.get_by_role("navigation").get_by_role("link", name=name).tap()
            await expect(page.get_by_role("heading", level=1)).to_have_text(name)
        await page.get_by_role("group", name="Theme").get_by_role("button", name="Dark").tap()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def colour(page: Page) -> str:
    found: str = await page.evaluate("getComputedStyle(document.querySelector('.stage')).backgroundColor")
    return found


async def test_themes(browser: Browser, site: Site) -> None:
    """The system's, until one chooses; the choice holds when one comes again."""
    async with looking(browser, site, color_scheme="dark") as (page, _):
        await page.goto("/")
        dark = await colour(page)
        await page.emulate_media(color_scheme="light")
        light = await colour(page)
        assert light != dark
        await page.get_by_role("button", name="Theme: system").click()
        await page.get_by_role("button", name="Theme: light").click()
        assert await colour(page) == dark
        await page.reload()
        await expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
        assert await colour(page) == dark
        await page.get_by_role("button", name="Theme: dark").click()
        assert await colour(page) == light


async def test_landmarks_and_words(browser: Browser, site: Site) -> None:
    """What a screen reader is told: where things are, what a row is, that mail has come."""
    async with looking(browser, site) as (page, _):
        await page.goto("/")
        for role in ("banner", "navigation", "main", "search"):
            await expect(page.get_by_role(role)).to_have_count(1)
        row = page.get_by_role("list", name="Mails").get_by_role("link").first
        await expect(row).to_contain_text("Unread.")
        await expect(page.locator(".mail").first).to_have_attribute("aria-setsize", "12")
        await expect(page.locator(".connection")).to_have_class("connection live")
        await site.mail("Listen to this")
        await expect(page.locator("#announcer")).to_have_text("New mail from Gate: Listen to this")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_be_focused()
