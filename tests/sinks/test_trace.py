"""The trace that an event belongs to: the sender's, where it is one, else the event's own."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.settings import WebhookSettings
from mailbell.sinks.trace import context
from mailbell.sinks.webhook import WebhookSink
from tests.sinks.conftest import event
from tests.sinks.receiver import receiving

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def of(*lines: str) -> dict[str, str]:
    return context(event(raw="\r\n".join([*lines, "Subject: x", "", "text"]).encode()).event)


def test_that_of_the_sender_is_passed_on() -> None:
    fields = of(f"Traceparent: 00-{TRACE}-{SPAN}-00", "TraceState: vendor=1,other=a b")
    assert fields == {"traceparent": f"00-{TRACE}-{SPAN}-00", "tracestate": "vendor=1,other=a b"}
    assert of(f"traceparent: cc-{TRACE}-{SPAN}-01-more") == {"traceparent": f"00-{TRACE}-{SPAN}-01"}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "rubbish",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
        f"cc-{TRACE}-{SPAN}-01more",
    ],
)
def test_one_that_is_none_gives_way_to_the_events_own(value: str) -> None:
    item = event(raw=f"traceparent: {value}\r\ntracestate: a=b\r\n\r\ntext".encode())
    hexadecimal = item.event.id.replace("-", "")
    assert context(item.event) == {"traceparent": f"00-{hexadecimal}-{hexadecimal[16:]}-01"}


@given(st.text(max_size=80), st.text(max_size=600))
def test_whatever_a_mail_says_what_is_sent_is_valid(parent: str, state: str) -> None:
    item = event(raw=f"traceparent: {parent}\r\ntracestate: {state}\r\n\r\ntext".encode("utf-8", "replace"))
    fields = context(item.event)
    assert VALID.fullmatch(fields["traceparent"])
    assert re.fullmatch(r"[ -~]*", fields.get("tracestate", ""))


async def test_a_webhook_carries_it_at_every_try() -> None:
    item = event(raw=b"Subject: x\r\n\r\ntext")
    async with receiving() as receiver:
        sink = WebhookSink("hook", WebhookSettings(url=receiver.url))
        await sink.start()
        for _ in range(2):
            await sink.deliver(item)
        await sink.stop()
    first, second = (request.headers["traceparent"] for request in receiver.requests)
    assert first == second == context(item.event)["traceparent"]
