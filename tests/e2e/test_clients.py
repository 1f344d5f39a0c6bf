"""The clients of the world send the example of HSYCO's page: its event and its script's lines come out."""

import json
import re
from pathlib import Path
from typing import Literal

import pytest

from tests.e2e.clients import CLIENTS, PLAIN_ONLY, Server, Tls
from tests.service import Service, serving
from tests.tools import ROOT

MESSAGE = b"""\
From: My Name <me@example.com>
To: test@hsyco.com
Subject: This is a test
Date: Mon, 25 Jan 2016 18:24:49 +0100
Content-Type: text/plain; charset=us-ascii

My mail body.
"""
EVENT = (
    'IO MONITOR FORCED: smtp.mail = {"from":"My Name <me@example.com>","to":"test@hsyco.com",'
    '"subject":"This is a test","date":"Mon, 25 Jan 2016 18:24:49 +0100",'
    '"contenttype":"text/plain; charset=us-ascii","returnpath":"","body":["My mail body."]}'
)
SAID = [
    "From: My Name <me@example.com>",
    "To: test@hsyco.com",
    "Date: Mon, 25 Jan 2016 18:24:49 +0100",
    "Subject: This is a test",
    "Body Line 1: My mail body.",
]
"""What the page's script says of it."""

ADDED = {"messageid", "received"}
"""Fields that clients add on the way: msmtp the first, Postfix both."""

USER = ("camera", "secret")
SCRIPT = f"""
[sinks.page]
type = "script"
path = {json.dumps(str(ROOT / "examples/events.txt"))}
"""


def as_sent(line: str) -> str:
    """Return a line of the log without its time, and its event without what a client has added."""
    said = re.sub(r"^\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d\.\d{3} - ", "", line)
    assert said != line, "a line of the log begins with its time"
    prefix, brace, value = said.partition(" = {")
    if not brace:
        return said
    event = {key: value for key, value in json.loads("{" + value).items() if key not in ADDED}
    event["body"] = event["body"][:1] + [
        line for line in event["body"][1:] if line
    ]  # smtp-source: an empty one more
    return f"{prefix} = {json.dumps(event, separators=(',', ':'))}"


async def lines_of_mail(service: Service, number: int) -> list[str]:
    """Return the event's line of the mail of this number, and what the script has said after it."""
    event = await service.line("IO MONITOR FORCED", number)
    last = await service.line(re.escape(SAID[-1]), number)
    lines = service.lines[service.lines.index(event) : service.lines.index(last) + 1]
    return [as_sent(line) for line in lines]


@pytest.mark.parametrize("client", CLIENTS)
async def test_the_example(client: str, tmp_path: Path) -> None:
    async with serving(tmp_path, SCRIPT) as service:
        sent = await CLIENTS[client](Server(service.port), MESSAGE)
        assert sent.ok, sent.output
        assert await lines_of_mail(service, 1) == [EVENT, *SAID]


@pytest.mark.parametrize("client", [name for name in CLIENTS if name not in PLAIN_ONLY])
@pytest.mark.parametrize("option", ["starttls", "implicit"])
async def test_tls_and_auth(client: str, option: Literal["starttls", "implicit"], tmp_path: Path) -> None:
    """With TLS, with a user and a password (any is taken), and with both."""
    ways: list[tuple[Tls, tuple[str, str] | None]] = [(option, None), (option, USER)]
    if option == "starttls":
        ways.append(("plain", USER))
    async with serving(tmp_path, SCRIPT, f'tls = "{option}"') as service:
        for number, (tls, auth) in enumerate(ways, 1):
            sent = await CLIENTS[client](Server(service.port, tls, auth), MESSAGE)
            assert sent.ok, f"{tls}, {auth}: {sent.output}"
            assert await lines_of_mail(service, number) == [EVENT, *SAID], f"{tls}, {auth}"
