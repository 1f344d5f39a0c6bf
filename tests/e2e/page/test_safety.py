"""A stranger's mail: it loads nothing, runs nothing, leads nowhere, and changes nothing around it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path

import pytest
from playwright.async_api import Error, Page, expect

from tests.e2e.page.site import FLAGS, PATIENCE, Site, Watch, serving, settled
from tests.tools import ROOT, find, leave_out

HERE = Path(__file__).parent
STRANGER = "tracker.example"
HOSTILE = (HERE / "hostile.html").read_text()
FRAMES = (HERE / "frames.html").read_text()
LOUD = """
[sinks.loud]
type = "command"
argv = ["/bin/sh", "-c", "echo \\"<script>window.hacked='stderr'</script>\\" >&2; exit 1"]
match.subject = ["shout"]
[sinks.talk]
type = "script"
path = "talk.js"
match.subject = ["shout"]
"""
TALK = """function IOEvent(name, value) {
  messageLog("<img src=x onerror=window.hacked=1><script>window.hacked='log'</script>")
}"""


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Site]:
    async with serving(LOUD, talk__js=TALK) as site:
        yield site


@asynccontextmanager
async def trap() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that nobody is to come to: a connection counts too, on which nothing is said."""
    caught: list[bytes] = []

    async def catch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = len(caught)
        caught.append(b"a connection")
        caught[place] = await reader.read(200) or caught[place]
        writer.close()

    server = await asyncio.start_server(catch, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", caught


def hostile(there: str, html: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Stranger <s@x.lan>", "a@house.lan", "Look at me"
    message.set_content("text")
    message.add_alternative(html.replace("@there@", there).replace("@name@", STRANGER), subtype="html")
    return message


def blocked(watch: Watch) -> None:
    """What the browser says of what it did not do."""
    watch.allowed.append(
        "Content.Security.Policy|Blocked|sandbox|Refused|violates|BLOCKED_BY|Unsafe attempt|frame-src"
    )


@pytest.mark.parametrize("where", ["/view/{id}.html", "/#/inbox/{id}/html"])
@pytest.mark.parametrize("html", [HOSTILE, FRAMES], ids=["elements", "frames"])
async def test_the_name_of_a_stranger_is_not_even_looked_up(
    site: Site, html: str, where: str, tmp_path: Path
) -> None:
    """Chromium's own log of its network knows. No tool drives it: those turn off what it does beforehand."""
    await site.put(hostile(f"http://{STRANGER}/", html))
    url = site.url + where.format(id=await site.id())
    log = tmp_path / "net.json"
    flags = ["--headless=new", f"--user-data-dir={tmp_path}/profile", f"--log-net-log={log}"]
    process = await asyncio.create_subprocess_exec(
        find("chromium") or leave_out("chromium is not installed: sudo scripts/apt page"),
        *FLAGS, *flags, "--virtual-time-budget=3000", "--dump-dom", url,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE / 1000):
        shown, _ = await process.communicate()
    assert b"Shown" in shown or b"<iframe" in shown
    network = log.read_text()
    assert "/view/" in network
    assert STRANGER not in network


async def test_html_loads_nothing_and_runs_nothing(page: Page, site: Site, watch: Watch) -> None:
    """Not when it is read, nor when one clicks on what is in it."""
    blocked(watch)
    async with trap() as (there, caught):
        await site.put(hostile(there, HOSTILE))
        await page.goto(f"/#/inbox/{await site.id()}/html")
        frame = page.frame_locator("iframe")
        await expect(frame.get_by_text("Shown")).to_be_visible()
        for name in ("Script", "Send"):
            await frame.get_by_text(name, exact=True).click(no_wait_after=True)
            await settled(page)
        assert await page.evaluate("window.hacked") is None
        assert caught == []


async def test_a_link_in_html_leads_nowhere(page: Page, site: Site, watch: Watch) -> None:
    """The browser may open a connection, for one has clicked. It asks nothing, and the mail comes back."""
    blocked(watch)
    async with trap() as (there, caught):
        message = EmailMessage()
        message.set_content("text")
        message.add_alternative(f'<a href="{there}" ping="{there}" target="_top">Link</a>', subtype="html")
        await site.put(message)
        for target in ("_blank", "_top", "_self"):
            await site.put(message.as_bytes().replace(b"_top", target.encode()))
            id_ = await site.id()
            await page.goto(f"/#/inbox/{id_}/html")
            link = page.frame_locator(f"iframe[src*='{id_}']").get_by_text("Link")  # not the one before
            await link.click(no_wait_after=True)
            await expect(link).to_be_visible()
            assert page.url.startswith(site.url)
        await expect(page.get_by_text("Links lead nowhere here")).to_be_visible()
        assert set(caught) <= {b"a connection"}


async def test_html_in_a_tab_of_its_own(page: Page, site: Site, watch: Watch) -> None:
    blocked(watch)
    async with trap() as (there, caught):
        await site.put(hostile(there, HOSTILE))
        await page.goto(f"/view/{await site.id()}.html")
        await expect(page.get_by_text("Shown")).to_be_visible()
        await page.get_by_text("Script", exact=True).click(no_wait_after=True)
        await page.get_by_text("Send", exact=True).click(no_wait_after=True)
        await page.wait_for_load_state("networkidle")
        assert await page.evaluate("[window.hacked || null, window.origin]") == [None, "null"]
        assert caught == []


def payloads(field: str) -> str:
    """What has run in other pages, in a field."""
    return (
        f'{field}"><img src=x onerror="window.hacked=\'{field}\'"><svg onload=window.hacked=1>'
        f"<script>window.hacked='{field}'</script><iframe srcdoc='<script>top.hacked=1</script>'></iframe>"
        "<a href='javascript:window.hacked=1'>x</a>{{7*7}}${7*7}"
    )


def infected() -> EmailMessage:
    """A mail with that in every field that the page shows."""
    message = EmailMessage(policy.SMTPUTF8)
    message["Subject"] = payloads("subject")
    message["From"] = Address(payloads("from"), "s", "x.lan")
    message["To"] = Address(payloads("to"), "t", "x.lan")
    message["Reply-To"] = Address(payloads("reply-to"), "r", "x.lan")
    message["Message-ID"] = "<script@x.lan>"
    message["X-Tags"] = "<img src=x onerror=window.hacked=1>, javascript:alert(1)"
    message["X-Evil<script>"] = payloads("header")
    message["List-Unsubscribe"] = "<javascript:window.hacked=1>"
    message.set_content(
        payloads("text") + ' javascript:window.hacked=1 http://x.lan/"onmouseover=window.hacked=1'
    )
    message.add_attachment(
        b"<script>window.hacked=1</script>", "text", "html", filename=payloads("file").replace("/", "")
    )
    message.add_attachment(b"<svg onload='window.hacked=1'/>", "image", "svg+xml", filename="a.svg")
    return message


async def test_no_field_of_a_mail_runs(page: Page, site: Site, watch: Watch) -> None:
    await site.put(infected())
    await page.goto("/")
    await expect(page.locator(".mail")).to_contain_text("<script>window.hacked='subject'</script>")
    await page.get_by_role("link", name="subject").click()
    await expect(page.locator(".message h2")).to_contain_text("{{7*7}}${7*7}")
    for name in await page.get_by_role("tab").all_inner_texts():
        await page.get_by_role("tab", name=name.split()[0]).click()
        await expect(page.get_by_role("tabpanel")).not_to_have_attribute("aria-busy", "true")
        await expect(page.get_by_role("tabpanel")).not_to_be_empty()
    await page.goto("/#/monitor")
    await expect(page.locator(".entry").last).to_be_visible()
    await check_that_nothing_ran(page)


async def test_no_field_of_a_dialogue_runs(page: Page, site: Site) -> None:
    """Transcripts, their sentences, and what scripts and sinks say."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.smtp)
    writer.write(f"EHLO {payloads('helo')}\r\n{payloads('command')}\r\n\x1b[2J\u202eevil\r\n".encode())
    writer.write(f"MAIL FROM:<{payloads('mail')}>\r\nQUIT\r\n".encode())
    await reader.read()
    writer.close()
    await page.goto("/#/connections")
    await page.locator(".group a").first.click()
    dialogue = page.locator(".dialogue")
    await expect(dialogue).to_contain_text("<script>window.hacked='command'</script>")
    await expect(dialogue).to_contain_text(r"\x1b[2J\u202eevil")
    await check_that_nothing_ran(page)


async def test_no_line_of_a_script_and_no_error_of_a_sink_runs(page: Page, site: Site) -> None:
    await site.mail("shout")
    await page.goto("/#/monitor")
    await expect(
        page.locator(".entry", has_text="<script>window.hacked='log'</script>").first
    ).to_be_visible()
    await page.goto("/#/sinks")
    await expect(page.get_by_role("region", name="loud")).to_contain_text(
        "<script>window.hacked='stderr'</script>"
    )
    await page.goto(f"/#/inbox/{await site.id()}/deliveries")
    await expect(page.locator(".delivery", has_text="loud")).to_contain_text("window.hacked='stderr'")
    await check_that_nothing_ran(page)


@pytest.mark.parametrize(
    "hash_",
    [
        "#/inbox/%",
        "#/inbox/<svg onload=window.hacked=1>",
        "#/inbox?q=<img src=x onerror=window.hacked=1>",
        "#/constructor/__proto__",
        "#//evil",
        "#/connections/..%2f..%2fx",
    ],
)
async def test_no_address_runs(page: Page, site: Site, watch: Watch, hash_: str) -> None:
    watch.allowed.append("404")
    await site.mail()
    await page.goto(f"/{hash_}")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await page.wait_for_load_state("networkidle")
    await check_that_nothing_ran(page)


async def check_that_nothing_ran(page: Page) -> None:
    await settled(page)
    assert await page.evaluate("window.hacked") is None
    strange = (
        "main script, main iframe:not([sandbox]), [onerror], [onload], [onclick], [href^='javascript:'], "
        "[style*='url']"
    )
    assert await page.locator(strange).count() == 0


async def test_the_browser_parses_no_html_for_the_page(page: Page, site: Site, watch: Watch) -> None:
    watch.allowed.append("TrustedHTML")
    await page.goto("/")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    with pytest.raises(Error, match="TrustedHTML"):
        await page.evaluate("document.body.innerHTML = '<b>x</b>'")


def test_no_module_parses_html() -> None:
    """The ways to run a text that a page has, besides the elements which the policy forbids."""
    pattern = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|setHTML|DOMParser"
        r"|createContextualFragment|srcdoc"
    )
    for file in (ROOT / "src/mailbell/web/static").glob("*.*"):
        assert not re.search(pattern, file.read_text()), file.name
    page = (ROOT / "src/mailbell/web/static/index.html").read_text()
    assert not re.search(r"\son\w+=|style=|<style|<script>|https?:", page)
