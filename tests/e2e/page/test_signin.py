"""Signing in, a wrong password, guesses, and signing out."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.page.site import Site, Watch, looking, serving


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Site]:
    async with serving(web='users = "web-users"', **{"web-users": "robin:{PLAIN}let me in\n"}) as site:
        yield site


@pytest.fixture
async def looked(browser: Browser, server: Site) -> AsyncIterator[tuple[Page, Watch]]:
    async with looking(browser, server) as (page, watch):
        watch.allowed += ["401", "429", "WebSocket connection"]
        yield page, watch


async def sign_in(page: Page, password: str) -> None:
    await page.get_by_label("User").fill("robin")
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()


async def test_in_and_out(page: Page, server: Site) -> None:
    await page.goto("/#/overview")
    await expect(page.get_by_label("User")).to_be_focused()
    await expect(page.get_by_role("navigation")).to_be_hidden()
    await sign_in(page, "wrong")
    await expect(page.get_by_role("alert")).to_have_text("Wrong user or password.")
    await expect(page.get_by_label("Password")).to_be_focused()
    await sign_in(page, "let me in")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    await expect(page.locator(".connection")).to_have_class("connection live")
    (cookie,) = await page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    await page.get_by_role("banner").get_by_role("button", name="Sign out robin").click()
    await expect(page.get_by_label("User")).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("User")).to_be_visible()


async def test_a_session_that_ends_asks_again(page: Page) -> None:
    await page.goto("/")
    await sign_in(page, "let me in")
    await expect(page.get_by_role("heading", name="No mail yet")).to_be_visible()
    await page.context.clear_cookies()
    await page.keyboard.press("g")
    await page.keyboard.press("s")
    await expect(page.get_by_label("User")).to_be_visible()


async def test_who_guesses_waits(page: Page) -> None:
    """And is told so; once the time is over his password is looked at."""
    await page.goto("/")
    for _ in range(2):
        await sign_in(page, "wrong")
        await expect(page.get_by_role("alert")).to_have_text("Wrong user or password.")
    await sign_in(page, "let me in")
    await expect(page.get_by_role("alert")).to_contain_text("one has to wait. Trying again in")
    await expect(page.get_by_role("heading", name="No mail yet")).to_be_visible()
