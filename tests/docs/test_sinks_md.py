"""The configs of docs/sinks run, each against the real thing at an address of the test's."""

import json
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import get_args

import pytest
from nats.js.api import StreamConfig
from standardwebhooks import Webhook

from mailbell.config import load
from mailbell.event.convert import ConvertOptions, convert
from mailbell.event.sample import sample
from mailbell.scripting.state import IoState
from mailbell.settings import AnySink
from mailbell.sinks import registry
from mailbell.sinks.base import Delivered, Sink
from tests.natsd import connected, running
from tests.sinks.conftest import certified
from tests.sinks.receiver import receiving
from tests.sinks.test_smtp import check_password, relaying
from tests.tools import ROOT

PAGES = ROOT / "docs" / "sinks"
SAMPLE = convert(sample(), ConvertOptions())
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "FLOW_KEY": KEY,
        "FLOW_TOKEN": "t0k3n",
        "RELAY_PASSWORD": "hunter2",
        "NATS_PASSWORD": "hunter2",
        "MQTT_PASSWORD": "hunter2",
        "TELEGRAM_TOKEN": "123456789:abcdefghijklmnopqrstuvwxyz012345678",
        "TELEGRAM_CHAT": "12345",
    }.items():
        monkeypatch.setenv(name, value)


def config(folder: Path, page: str, **instead: str) -> Path:
    """The page's first config as a file, with some words replaced."""
    [text, *_] = re.findall(r"```toml\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.DOTALL)
    for old, new in instead.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "mailbell.toml").write_text(text)
    return folder / "mailbell.toml"


@asynccontextmanager
async def sink(file: Path) -> AsyncIterator[Sink]:
    """The sink of a config, up."""
    [(name, settings)] = load(file).sinks.items()
    assert registry.problems(settings) == []
    made = registry.make(name, settings, IoState())
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def test_command(tmp_path: Path) -> None:
    program = tmp_path / "programs" / "ring"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$1 $MAILBELL_SUBJECT" > rung\n')
    program.chmod(0o755)
    async with sink(config(tmp_path, "command")) as bell:
        assert await bell.deliver(SAMPLE) == Delivered()
    assert (tmp_path / "programs" / "rung").read_text() == "--loud Motion detected\n"


async def test_webhook(tmp_path: Path) -> None:
    async with (
        receiving() as receiver,
        sink(config(tmp_path, "webhook", **{"http://127.0.0.1:1880/mail": receiver.url})) as hook,
    ):
        assert await hook.deliver(SAMPLE) == Delivered()
    [request] = receiver.requests
    assert request.headers["authorization"] == "Bearer t0k3n"
    assert Webhook(KEY).verify(request.body, request.headers)["subject"] == "Motion detected"


async def test_smtp(tmp_path: Path) -> None:
    certificate, key = certified(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with relaying(authenticator=check_password, auth_required=True, tls_context=context) as relay:
        instead = {
            'host = "mail.example.com"': f'host = "127.0.0.1"\nca = "{certificate}"',
            "587": str(relay.port),
            'user = "mailbell"': 'user = "me"',
        }
        async with sink(config(tmp_path, "smtp", **instead)) as forward:
            assert await forward.deliver(SAMPLE) == Delivered()
    [envelope] = relay.envelopes
    assert envelope.mail_from == "alarms@example.com"
    assert envelope.rcpt_tos == ["alarms@example.com", "night-watch@example.com"]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
async def test_apprise(tmp_path: Path) -> None:
    [settings] = load(config(tmp_path, "apprise")).sinks.values()
    assert registry.problems(settings) == [], "Apprise knows the page's URLs"
    async with receiving() as one, receiving() as two:
        instead = {
            "tgram://${TELEGRAM_TOKEN}/${TELEGRAM_CHAT}": one.url.replace("http", "json"),
            "ntfys://ntfy.example.com/alarms": two.url.replace("http", "json"),
        }
        async with sink(config(tmp_path, "apprise", **instead)) as phones:
            assert await phones.deliver(SAMPLE) == Delivered()
    for receiver in (one, two):
        sent = json.loads(receiver.requests[0].body)
        assert sent["title"] == "Motion detected"
        assert sent["message"].startswith("Front door at 192.0.2.1: Motion detected on channel 1.")


async def test_nats(tmp_path: Path) -> None:
    who = {"user": "mailbell", "password": "hunter2"}
    accounts = "accounts { A { jetstream: enabled, users: [ { user: mailbell, password: hunter2 } ] } }"
    async with running(tmp_path, accounts) as server, connected(server, **who) as client:
        await client.jetstream().add_stream(StreamConfig(name="mail", subjects=["mailbell.>"]))
        async with sink(config(tmp_path, "nats", **{"4222": str(server.port)})) as stream:
            assert await stream.deliver(SAMPLE) == Delivered()
        message = await client.jetstream().get_msg("mail", 1)
    assert (message.subject, message.data) == ("mailbell.smtp.mail", SAMPLE.json)


def test_a_sink_of_your_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says what examples/sink says; tests/sinks/test_registry.py runs that."""
    page = (PAGES / "own.md").read_text()
    declared = re.findall(r"```toml\n# pyproject.toml\n(.*?)```", page, re.DOTALL)[0]
    assert declared in (ROOT / "examples/sink/pyproject.toml").read_text()
    info = tmp_path / "mailbell_file-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mailbell-file\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(declared.replace('"', "").replace("project.entry-points.", ""))
    for path in (tmp_path, ROOT / "examples/sink"):
        monkeypatch.syspath_prepend(path)
    [settings] = load(config(tmp_path, "own")).sinks.values()
    assert settings.describe() == f"file {tmp_path}/events.jsonl"


def test_every_type_has_its_page() -> None:
    kinds = {str(each.__struct_config__.tag) for each in get_args(AnySink)} - {"script"}  # docs/scripts.md
    assert kinds == {page.stem for page in PAGES.glob("*.md")} - {"own"}
