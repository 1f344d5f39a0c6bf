"""One mail: every tab, what can be done to it, what became of it."""

import json
import re
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.page.scene import confirmation
from tests.e2e.page.site import Site, Watch, looking, serving, until
from tests.sinks.receiver import Receiver, answer, receiving

SINKS = """
[sinks.hook]
type = "webhook"
url = "{url}"
[sinks.other]
type = "webhook"
url = "{url}"
match.subject = ["nothing"]
"""


@pytest.fixture(scope="module")
async def hook() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
async def server(hook: Receiver) -> AsyncIterator[Site]:
    async with serving(SINKS.format(url=hook.url)) as site:
        yield site


async def tab(page: Page, name: str) -> None:
    await page.get_by_role("tab", name=name).click()
    await expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")


async def read(page: Page, site: Site, message: EmailMessage | bytes) -> None:
    """Send a mail, and open it."""
    await site.put(message)
    await page.goto(f"/#/inbox/{await site.id()}")
    await expect(page.get_by_role("tabpanel")).to_be_visible()


async def test_every_tab(page: Page, site: Site) -> None:
    message = confirmation()
    await read(page, site, message)
    panel = page.get_by_role("tabpanel")
    await expect(page.get_by_role("tab")).to_have_text(
        ["Text", "HTML", "Attachments1", "Headers", "Source", "Event", "Deliveries"]
    )
    await expect(page.get_by_role("tab", name="HTML")).to_have_attribute("aria-selected", "true")
    frame = page.frame_locator("iframe")
    await expect(frame.get_by_text("Confirm your address")).to_be_visible()
    await page.get_by_role("button", name="Phone").click()
    box = await page.locator("iframe").bounding_box()
    assert box
    assert box["width"] == 375
    await page.get_by_role("button", name="Desktop").click()

    await tab(page, "Text")
    await expect(panel).to_contain_text("one more step and your account")
    link = panel.get_by_role("link", name="https://shop.example")
    await expect(link).to_have_attribute("rel", "noopener noreferrer")
    await expect(link).to_have_attribute("target", "_blank")

    await tab(page, "Headers")
    await expect(panel.locator("dl > div", has_text="X-Tags")).to_contain_text("staging")

    await tab(page, "Source")
    await expect(panel).to_contain_text("multipart/alternative")

    await tab(page, "Event")
    await expect(panel.locator("pre")).to_contain_text("mailbell.event/1")
    assert json.loads(await panel.locator("pre").inner_text())["schema"] == "mailbell.event/1"
    await page.get_by_role("button", name="HSYCO").click()
    await expect(page.get_by_role("button", name="HSYCO")).to_have_attribute("aria-pressed", "true")
    await expect(page.get_by_role("button", name="HSYCO")).to_be_focused()
    await expect(panel.locator("pre")).to_contain_text('"body"')
    assert "schema" not in json.loads(await panel.locator("pre").inner_text())
    await page.get_by_role("button", name="Full").click()

    await tab(page, "Deliveries")
    await expect(panel).to_contain_text("hook: delivered")
    await expect(panel).to_contain_text("other: not for this mail")
    await page.reload()
    await expect(panel).to_contain_text("hook: delivered")


async def test_copy(page: Page, site: Site) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await site.mail("To be copied")
    await page.goto(f"/#/inbox/{await site.id()}/event")
    await page.get_by_role("button", name="Copy as one line").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert json.loads(copied)["subject"] == "To be copied"
    assert "\n" not in copied


async def test_the_head(page: Page, site: Site) -> None:
    message = EmailMessage()
    message["From"], message["Subject"] = "Grüße <g@b.lan>", "Hello"
    message["To"] = ", ".join(f"u{number}@b.lan" for number in range(30))
    message["Reply-To"] = "r@b.lan"
    message.set_content("x")
    await read(page, site, message)
    head = page.locator(".message .head")
    await expect(head).to_contain_text("Grüße <g@b.lan>")
    await expect(head).to_contain_text("cam@cams.lan")  # the envelope's sender is another one
    await expect(head).not_to_contain_text("u20@b.lan")
    await page.get_by_role("button", name="and 26 more").click()
    await expect(head).to_contain_text("u20@b.lan")


async def test_tags(page: Page, site: Site) -> None:
    await site.mail("Tagged", X_Tags="night")
    await page.goto(f"/#/inbox/{await site.id()}")
    facts = page.locator(".message .facts")
    await expect(facts).to_contain_text("night")
    await page.keyboard.press("t")
    await page.get_by_label("Tag", exact=True).fill('<b>gate "2"')
    await page.keyboard.press("Enter")
    await expect(facts.locator(".tag")).to_have_count(2)
    await facts.get_by_role("button", name="Take the tag night off").click()
    await expect(facts.locator(".tag")).to_have_text(['<b>gate "2"'])
    await expect(page.locator(".mail .tag")).to_have_count(1)


async def test_pictures_and_files(page: Page, site: Site, watch: Watch, tmp_path: Path) -> None:
    """Pictures are shown, a name of a file leads nowhere, and what only says that it is a picture is none."""
    watch.allowed.append("404")
    message = confirmation()
    message.add_attachment(b"%PDF-1.7", "application", "pdf", filename="../../evil\u202egnp.pdf")
    message.add_attachment(b"<script>", "image", "png", filename="fake.png")
    await read(page, site, message)
    await tab(page, "Attachments")
    await expect(page.locator(".card")).to_have_count(3)
    logo = page.locator(".card", has_text="logo.png").locator("img")
    assert await logo.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 44
    await expect(page.locator(".card", has_text="fake.png").locator("img")).to_have_count(0)
    await page.get_by_role("button", name="Look at logo.png").click()
    large = page.get_by_role("dialog", name="logo.png").locator("img")
    assert await large.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 44
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Look at logo.png")).to_be_focused()
    async with page.expect_download() as download:
        await page.locator(".card", has_text="pdf").get_by_role("link").click()
    saved = await download.value
    await saved.save_as(tmp_path / "saved")
    assert (tmp_path / "saved").read_bytes() == b"%PDF-1.7"
    assert "/" not in saved.suggested_filename
    assert "\\" not in saved.suggested_filename
    assert not saved.suggested_filename.startswith(".")


async def test_cid_images(page: Page, site: Site) -> None:
    await read(page, site, confirmation())
    image = page.frame_locator("iframe").locator("img")
    await expect(image).to_have_attribute("src", re.compile("^data:image/png;base64,iVBOR"))
    box = await image.bounding_box()
    assert box
    assert box["width"] == 44


async def test_a_sink_that_fails_and_retry_now(page: Page, site: Site, hook: Receiver) -> None:
    hook.plan = [answer(500, "the pump is off")] * 2
    await site.mail("Pump")
    await page.goto(f"/#/inbox/{await site.id()}/deliveries")
    row = page.locator(".delivery", has_text="hook")
    await expect(row).to_contain_text("tried again")
    await expect(row).to_contain_text("500")
    await expect(page.locator(".mail .mark")).to_have_attribute("title", "Not delivered everywhere")
    hook.plan = []
    await row.get_by_role("button", name="Retry now").click()
    await expect(row).to_contain_text("hook: delivered")
    await expect(page.locator(".mail .mark")).to_have_attribute("title", "Delivered")
    count = len(hook.requests)
    await row.get_by_role("button", name="Deliver again").click()
    await expect(row).to_contain_text("hook: delivered")
    await until(lambda: len(hook.requests) > count)


async def test_a_parked_event(page: Page, site: Site, hook: Receiver) -> None:
    hook.plan = [answer(400, "no such pump")]
    await site.mail("Pump")
    await page.goto(f"/#/inbox/{await site.id()}/deliveries")
    row = page.locator(".delivery", has_text="hook")
    await expect(row).to_contain_text("given up and parked")
    await page.goto("/#/sinks")
    card = page.get_by_role("region", name="hook")
    await card.get_by_text("1 event parked").click()
    await expect(card).to_contain_text("400")
    await card.get_by_role("button", name="Retry", exact=True).click()
    await expect(card.get_by_text("1 event parked")).to_have_count(0)
    hook.plan = [answer(400, "no such pump")]
    await site.mail("Pump again")
    await expect(card.get_by_text("1 event parked")).to_be_visible()  # and open, as it was before
    await card.get_by_role("button", name="Drop", exact=True).click()
    await page.get_by_role("dialog", name="Drop 1 parked event?").get_by_role("button", name="Drop").click()
    await expect(card.get_by_text("1 event parked")).to_have_count(0)


async def test_a_mail_that_is_not_there(page: Page, site: Site, watch: Watch) -> None:
    watch.allowed.append("404")
    await page.goto("/#/inbox/nowhere")
    await expect(page.get_by_role("heading", name="This mail can't be shown")).to_be_visible()
    await expect(page.get_by_text("The inbox has no such mail.")).to_be_visible()
    await page.get_by_role("button", name="Back to the list").click()
    await expect(page.get_by_role("heading", name="No mail yet")).to_be_visible()


async def test_release(browser: Browser) -> None:
    """Where there is a sink of the type smtp, a mail can go on to its server."""
    relay = (
        '[sinks.relay]\ntype = "smtp"\nhost = "127.0.0.1"\nport = {port}\ntls = "off"\nmatch.subject = ["no"]'
    )
    async with serving() as target, serving(relay.format(port=target.smtp)) as site:
        await site.mail("To be released")
        async with looking(browser, site) as (page, _):
            await page.goto(f"/#/inbox/{await site.id()}")
            await page.get_by_role("button", name="Release").click()
            await expect(page.get_by_label("Recipients")).to_have_value("alarm@house.lan")
            await page.get_by_label("Recipients").fill("a@office.lan, b@office.lan")
            await page.get_by_role("dialog").get_by_role("button", name="Release").click()
            await expect(page.get_by_text("Released.")).to_be_visible()
        found = (await target.get("/api/v1/messages"))["messages"][0]
        assert found["Subject"] == "To be released"
        assert {each["Address"] for each in found["Bcc"]} == {"a@office.lan", "b@office.lan"}
