"""The script sink and the examples, with mail converted as the server does it."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from mailbell.errors import SinkUnavailable
from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.mail import Envelope, Mail, Source, new_id
from mailbell.scripting.state import IoState
from mailbell.scripting.version import check_script
from mailbell.settings import Duration, ScriptSettings
from mailbell.sinks.base import Delivered, Retry, Sink
from mailbell.sinks.script import ScriptSink
from tests.conftest import BOTH_LOOPS
from tests.page import page_mail

EXAMPLES = Path(__file__).parents[2] / "examples"

Start = Callable[..., AbstractAsyncContextManager[ScriptSink]]


def mail(raw: str, rcpt_to: str = "test@hsyco.com") -> Converted:
    return convert(
        Mail(
            id=new_id(1),
            received_at=1,
            ioserver="smtp",
            source=Source(ip="192.0.2.1", port=1),
            envelope=Envelope(mail_from="", rcpt_to=(rcpt_to,)),
            raw=raw.replace("\n", "\r\n").encode(),
        ),
        ConvertOptions(),
    )


@pytest.fixture
def start(caplog: pytest.LogCaptureFixture) -> Start:
    """Bring up a sink over a script, with the logger that the server uses."""
    caplog.set_level(logging.INFO, "mailbell.script")

    @asynccontextmanager
    async def running(path: Path, state: IoState | None = None) -> AsyncIterator[ScriptSink]:
        settings = ScriptSettings(path=path, time_limit=Duration(0.5))
        sink = ScriptSink("hello", settings, state or IoState())
        await sink.start()
        try:
            yield sink
        finally:
            await sink.stop()

    return running


def test_it_is_a_sink(tmp_path: Path) -> None:
    sink: Sink = ScriptSink("hello", ScriptSettings(path=tmp_path / "s.js"), IoState())
    assert not sink.sequential
    assert sink.name == "hello"


@BOTH_LOOPS
async def test_the_lines_of_the_hsyco_page(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    async with start(EXAMPLES / "events.txt") as sink:
        assert await sink.deliver(page_mail()) == Delivered()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "From: My Name <me@example.com>"),
        ("INFO", "To: test@hsyco.com"),
        ("INFO", "Date: Mon, 25 Jan 2016 18:24:49 +0100"),
        ("INFO", "Subject: This is a test"),
        ("INFO", "Body Line 1: My mail body."),
    ]


async def test_the_javascript_example(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    state = IoState()
    alarm = mail("From: Front <front@cams.lan>\nSubject: Motion detected\n\n")
    async with start(EXAMPLES / "mail.js", state) as sink:
        await sink.deliver(mail("From: front@cams.lan\nSubject: Daily report\n\n"))
        for _ in range(10):
            assert await sink.deliver(alarm) == Delivered()
    assert caplog.messages == ["front@cams.lan: Motion detected"] * 10 + [
        "front@cams.lan has raised 10 alarms"
    ]
    assert state.variable("alarms front@cams.lan") == "10"


async def test_the_python_example(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    picture = """Subject: Motion
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: text/plain

Motion in the garden
--x
Content-Type: image/jpeg; name=a.jpg
Content-Transfer-Encoding: base64

/9j/4AAQSkZJRgABAQ==
--x--
"""
    async with start(EXAMPLES / "camera.py") as sink:
        for _ in range(2):
            assert await sink.deliver(mail(picture, "garden@alarms.lan")) == Delivered()
        await sink.ha_active(False)
    assert caplog.messages == [
        "this node is active",
        "garden: Motion, 1 images, 1 mails so far",
        "garden: Motion, 1 images, 2 mails so far",
        "this node is inactive",
    ]


@pytest.mark.parametrize("name", ["events.txt", "mail.js", "camera.py"])
def test_nothing_is_wrong_with_the_examples(name: str) -> None:
    assert check_script(EXAMPLES / name) == []


async def test_an_exception_is_delivered_and_a_hang_is_retried(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "s.js"
    path.write_text(
        """function IOEvent(name, value) {
  var subject = JSON.parse(value).subject
  if (subject == "hang") for (;;);
  if (subject == "throw") throw new Error("x")
}"""
    )
    async with start(path) as sink:
        assert await sink.deliver(mail("Subject: throw\n\n")) == Delivered()
        assert await sink.deliver(mail("Subject: hang\n\n")) == Retry(
            "smtp.mail: the script ran longer than 0.5 s and was killed"
        )
        assert await sink.deliver(mail("Subject: fine\n\n")) == Delivered()
    assert caplog.messages == [
        f"{path}:4: Error: x",
        f"{path}: smtp.mail: the script ran longer than 0.5 s and was killed",
    ]


async def test_system_events(start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "s.txt"
    path.write_text(
        """INIT : { messageLog("init") }
HSYCOSTART : { messageLog("start") }
IOSTART : { messageLog("io start " + triggerKey) }
function StartupEvent() : { messageLog("startup event") }
function haActiveEvent(active) : { messageLog(active + "," + haActive()) }
HAACTIVE : { messageLog("active") }
IO smtp.mail : { messageLog("mail") }
"""
    )
    state = IoState()
    sink = ScriptSink("hello", ScriptSettings(path=path), state)
    await sink.io_start("early")
    await sink.ha_active(False)
    await sink.start()
    await sink.io_start("late")
    await sink.ha_active(True)
    await sink.stop()
    assert caplog.messages == [
        "init",
        "start",
        "startup event",
        "io start early",
        "io start late",
        "true,true",
        "active",
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.js", None, "can't be read: No such file or directory; correct it and save the file"),
        ("s.rb", "", "a script's name ends in .js, .py, .txt"),
        ("s.py", "def f(:", "s.py:1: SyntaxError: invalid syntax; correct it and save the file"),
    ],
)
async def test_a_script_that_cannot_come_up(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    sink = ScriptSink("hello", ScriptSettings(path=path), IoState())
    with pytest.raises(SinkUnavailable, match=message):
        await sink.start()
    await sink.stop()


async def test_a_node_on_its_own_is_active_from_the_start(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "s.js"
    path.write_text("function haActiveEvent(active) { messageLog(active) }")
    async with start(path):
        assert caplog.messages == ["true"]
