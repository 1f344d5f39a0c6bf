"""One server and one browser for each module; every test begins with an empty inbox and a new page."""

from collections.abc import AsyncIterator

import pytest
import uvloop
from playwright.async_api import Browser, Page, expect

from tests.e2e.page.site import PATIENCE, Site, Watch, browsing, looking, serving

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    """One loop for a module's browser, server and tests."""
    return ("asyncio", {"loop_factory": uvloop.new_event_loop})


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Site]:
    """A module that needs more than a server without sinks has its own."""
    async with serving() as site:
        yield site


@pytest.fixture
async def site(server: Site) -> Site:
    await server.clear()
    return server


@pytest.fixture
async def looked(browser: Browser, site: Site) -> AsyncIterator[tuple[Page, Watch]]:
    async with looking(browser, site) as both:
        yield both


@pytest.fixture
def page(looked: tuple[Page, Watch]) -> Page:
    return looked[0]


@pytest.fixture
def watch(looked: tuple[Page, Watch]) -> Watch:
    return looked[1]
