"""The nats sink against Debian's nats-server."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.js.api import StreamConfig

from mailbell.errors import SinkUnavailable
from mailbell.event.convert import ConvertOptions, convert
from mailbell.event.sample import sample
from mailbell.settings import Duration, NatsSettings
from mailbell.sinks import nats as nats_module
from mailbell.sinks.base import Delivered, Reject, Retry, Sink
from mailbell.sinks.nats import NatsSink, _token
from tests.conftest import BOTH_LOOPS
from tests.natsd import NatsServer, connected, flushed, running
from tests.sinks.conftest import House, certified, event, mail
from tests.tools import free_port

SAMPLE = convert(sample(), ConvertOptions())


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A server with a stream for all that we publish."""
    async with running(tmp_path, "max_payload: 100KB") as server:
        await add_stream(server)
        yield server


async def add_stream(server: NatsServer, **how: Any) -> None:
    async with connected(server) as client:
        await client.jetstream().add_stream(StreamConfig(name="mail", subjects=["mailbell.>"], **how))


async def stored(server: NatsServer, **how: Any) -> list[tuple[str, dict[str, str], bytes]]:
    """Subject, header and data of all that is in the stream."""
    async with connected(server, **how) as client:
        stream = client.jetstream()
        state = (await stream.stream_info("mail")).state
        messages = [await stream.get_msg("mail", seq) for seq in range(state.first_seq, state.last_seq + 1)]
    return [(each.subject or "", each.headers or {}, each.data or b"") for each in messages]


@asynccontextmanager
async def up(server: NatsServer, **settings: Any) -> AsyncIterator[NatsSink]:
    sink = NatsSink("nats", NatsSettings(**({"servers": (server.url,)} | settings)))
    await sink.start()
    try:
        yield sink
    finally:
        await sink.stop()


def test_it_is_a_sink() -> None:
    sink: Sink = NatsSink("nats", NatsSettings(servers=("nats://127.0.0.1",)))
    assert not sink.sequential


@BOTH_LOOPS
async def test_an_event_is_in_the_stream_once(server: NatsServer) -> None:
    async with up(server) as sink:
        assert await sink.deliver(SAMPLE) == Delivered()
        assert await sink.deliver(SAMPLE) == Delivered(), "a repeat, which the stream drops"
    async with up(server, body="hsyco", subject="mailbell.{envelope.rcpt_to[0].domain}.x") as sink:
        assert await sink.deliver(event()) == Delivered()
    first, second = await stored(server)
    assert first == ("mailbell.smtp.mail", {"Nats-Msg-Id": SAMPLE.event.id}, SAMPLE.json)
    assert second[0] == "mailbell.alarms_lan.x"
    assert second[2] == event().value.encode()


async def test_without_jetstream_who_subscribes_has_it(tmp_path: Path) -> None:
    async with running(tmp_path) as server, connected(server) as client, up(server, jetstream=False) as sink:
        subscription = await client.subscribe("mailbell.*.mail")
        await flushed(client)
        assert await sink.deliver(SAMPLE) == Delivered()
        message = await subscription.next_msg(5)
    assert message.data == SAMPLE.json
    assert SAMPLE.event.id in (message.headers or {})["Nats-Msg-Id"]


@BOTH_LOOPS
async def test_without_jetstream_it_is_delivered_once_the_server_has_it() -> None:
    """What answers a PING that came before the event tells nothing of it."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"max_payload": 1000000, "headers": true}\r\n')
        while line := await reader.readline():
            heard.append(line[:4])
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as fake:
        port = fake.sockets[0].getsockname()[1]
        sink = NatsSink("nats", NatsSettings(servers=(f"nats://127.0.0.1:{port}",), jetstream=False))
        await sink.start()
        outcome = await sink.deliver(SAMPLE)
        before = list(heard)
        await sink.stop()
    assert outcome == Delivered()
    assert b"PING" in before[before.index(b"HPUB") :]


async def test_attachments_inside(server: NatsServer) -> None:
    async with up(server, attachments="inline") as sink:
        assert await sink.deliver(SAMPLE) == Delivered()
    [(_, _, data)] = await stored(server)
    assert json.loads(data)["attachments"][0]["content"].startswith("/9j/4AAQ")


async def test_no_stream_and_too_large(server: NatsServer) -> None:
    async with up(server, subject="elsewhere.{ioserver}") as sink:
        assert await sink.deliver(SAMPLE) == Retry(
            "no stream takes the subject elsewhere.smtp: add one to the server, or set jetstream = false"
        )
    async with up(server) as sink:
        outcome = await sink.deliver(event("x", "x" * 110_000))
        assert isinstance(outcome, Reject)
        assert re.fullmatch(
            r"the event of \d+ octets is larger than the server's max_payload", outcome.reason
        )
        assert await sink.deliver(SAMPLE) == Delivered()
    async with up(server, subject="mailbell." + "{subject}" * 9) as sink:
        assert await sink.deliver(event("ö" * 500)) == Delivered()
    async with up(server, subject="mailbell." + "{text}" * 9) as sink:
        assert isinstance(await sink.deliver(event(raw=b"\r\n\r\n" + "\U0001f514".encode() * 500)), Reject)


async def test_a_stream_that_is_full_or_takes_no_such_message(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        await add_stream(server, max_msgs=1, discard="new", max_msg_size=5000)
        async with up(server) as sink:
            assert await sink.deliver(event()) == Delivered()
            assert await sink.deliver(event()) == Retry("JetStream: maximum messages exceeded (10077)")
            assert await sink.deliver(event("x", "x" * 6000)) == Reject(
                "JetStream: message size exceeds maximum allowed (10054)"
            )


@given(st.text(max_size=300))
def test_any_text_is_one_token(text: str) -> None:
    token = _token(text)
    assert re.fullmatch(r"[^.*>\s\x00-\x1f\x7f]{1,100}", token)


@pytest.mark.parametrize("subject", ["", "a..b", ".a", "a.", "a b", "a.*", "{subject}.>", "a.\t{id}"])
def test_subjects_that_are_none(subject: str) -> None:
    if subject:
        with pytest.raises(ValueError, match="subject has no blanks"):
            NatsSettings(servers=("nats://x",), subject=subject)


def test_formats_in_a_subject_are_no_wildcards() -> None:
    NatsSettings(servers=("nats://x",), subject="a.{subject:>5}.{text:.3}")


ACCOUNTS = """
accounts {
  A { jetstream: enabled, users: [ { user: me, password: hunter2 } ] }
}
"""


async def test_user_and_password(tmp_path: Path) -> None:
    async with running(tmp_path, ACCOUNTS) as server:
        who = {"user": "me", "password": "hunter2"}
        async with connected(server, **who) as client:
            await client.jetstream().add_stream(StreamConfig(name="mail", subjects=["mailbell.>"]))
        async with up(server, **who) as sink:
            assert await sink.deliver(SAMPLE) == Delivered()
        async with up(server, servers=(server.url.replace("//", "//me:hunter2@"),)) as sink:
            assert await sink.deliver(event()) == Delivered()
            shown = f"{sink} {sink._settings} {sink._settings.describe()}"
        with pytest.raises(SinkUnavailable, match=r"Authorization Violation|reset by peer") as caught:
            async with up(server, user="me", password="hunter3"):
                pass
        assert "hunter" not in f"{shown} {caught.value}"
        assert len(await stored(server, **who)) == 2


async def test_a_token(tmp_path: Path) -> None:
    async with (
        running(tmp_path, "authorization { token: hunter2 }") as server,
        up(server, token="hunter2", jetstream=False) as sink,
    ):
        assert await sink.deliver(SAMPLE) == Delivered()


async def test_tls_with_client_certificate(tmp_path: Path) -> None:
    certificate, key = certified(tmp_path)
    tls = f'tls {{ cert_file: "{certificate}", key_file: "{key}", ca_file: "{certificate}", verify: true }}'
    async with running(tmp_path, tls) as server:
        servers = (server.url.replace("nats://", "tls://"),)
        given = {"servers": servers, "jetstream": False, "timeout": Duration(3)}
        async with up(server, **given, ca=certificate, certificate=certificate, key=key) as sink:
            assert await sink.deliver(SAMPLE) == Delivered()
        with pytest.raises(SinkUnavailable, match="certificate verify failed"):
            async with up(server, **given):
                pass
        with pytest.raises(SinkUnavailable):
            async with up(server, **given, ca=certificate):
                pass


async def test_a_certificate_without_its_key(tmp_path: Path) -> None:
    certificate, _ = certified(tmp_path)
    settings = NatsSettings(servers=("tls://127.0.0.1:1",), certificate=certificate, key=certificate)
    with pytest.raises(SinkUnavailable, match="certificate and key must be PEM and belong together"):
        await NatsSink("nats", settings).start()


async def test_nobody_there_and_a_server_that_is_none() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        writer.close()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    for behaviour in (talk, mute, None):
        port = free_port()
        server = await asyncio.start_server(behaviour, "127.0.0.1", port) if behaviour else None
        sink = NatsSink("nats", NatsSettings(servers=(f"nats://127.0.0.1:{port}",), timeout=Duration(0.5)))
        with pytest.raises(SinkUnavailable, match=rf"nats 127.0.0.1:{port}: .."):
            await sink.start()
        await sink.stop()
        if server is not None:
            server.close()


async def test_a_server_killed_in_the_middle_of_a_burst(
    house: House, server: NatsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Twice, with a while of nothing: each event is in the stream, and once."""
    monkeypatch.setattr(nats_module, "RECONNECT_DELAYS", (0.05,))
    settings = NatsSettings(servers=(server.url,), timeout=Duration(1))
    await house.add(NatsSink("nats", settings), settings)
    ids: list[str] = []
    for _ in range(2):
        ids += await house.receive(*(mail(f"{number}") for number in range(300)))
        async with asyncio.timeout(10):
            while house.deliveries["nats"].consumer.lag > 200:  # noqa: ASYNC110  a number, not an event
                await asyncio.sleep(0.001)
        await server.kill()
        ids += await house.receive(*(mail(f"{number}") for number in range(50)))
        async with asyncio.timeout(10):
            while "not connected" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        caplog.clear()
        await server.start()
        await house.settled("nats")
    assert sorted(headers["Nats-Msg-Id"] for _, headers, _ in await stored(server)) == sorted(ids)
    assert not await house.parked("nats")


async def test_a_server_that_hangs_for_a_while(house: House, server: NatsServer) -> None:
    settings = NatsSettings(servers=(server.url,), timeout=Duration(0.2))
    await house.add(NatsSink("nats", settings), settings)
    ids = await house.receive(mail())
    await house.settled("nats")
    await server.hang()
    ids += await house.receive(mail())
    await asyncio.wait_for(tried(house, 2, times=2), 10)
    server.go_on()
    await house.settled("nats")
    assert [headers["Nats-Msg-Id"] for _, headers, _ in await stored(server)] == ids, "and the tries are one"


async def test_a_stream_that_comes_later(house: House, tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        settings = NatsSettings(servers=(server.url,))
        await house.add(NatsSink("nats", settings), settings)
        [id_] = await house.receive(mail())
        await asyncio.wait_for(tried(house, 1, times=2), 10)
        await add_stream(server)
        await house.settled("nats")
        [(_, headers, _)] = await stored(server)
    assert headers["Nats-Msg-Id"] == id_


async def tried(house: House, sequence: int, times: int) -> None:
    """Wait until this event has been tried so often."""
    waiting: Any = house.deliveries["nats"].consumer._waiting  # type: ignore[attr-defined]
    while not (sequence in waiting and waiting[sequence].attempts >= times):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
