"""MQTT 5 as it comes from the line: whole or in pieces, right or wrong."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.settings import Duration, MqttSettings
from mailbell.sinks import broker as broker_module
from mailbell.sinks import mqtt as mqtt_module
from mailbell.sinks import mqtt5 as mqtt5_module
from mailbell.sinks.broker import Connection, Message, Publish, connect, reason
from mailbell.sinks.mqtt import MqttSink
from mailbell.sinks.mqtt5 import Mqtt5
from tests.conftest import BOTH_LOOPS

WELCOME = mqtt5.ConnAckPacket().write()
WILL = Message("mailbell/status", b"offline", retain=True)

texts = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="#+"), min_size=1)
publishes = st.builds(lambda topic, payload: mqtt5.PublishPacket(topic, payload), texts, st.binary())
packets = st.one_of(
    st.builds(mqtt5.PubAckPacket, st.integers(1, 65535)),
    publishes,
    st.just(mqtt5.PingRespPacket()),
    st.builds(lambda code: mqtt5.SubAckPacket(1, [mqtt5.SubAckReasonCode(code)]), st.sampled_from([0, 135])),
)

spoilt = st.builds(
    lambda packet, at, octet: (
        (octets := packet.write())[: at % len(octets)] + bytes([octet]) + octets[at % len(octets) + 1 :]
    ),
    packets,
    st.integers(0, 1000),
    st.integers(0, 255),
)
PANICS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""The codec does, at a string that is not UTF-8, and leaves an exception behind."""


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[asyncio.Server, "asyncio.Queue[Line]"]]:
    """A broker that says what the test says."""
    lines: asyncio.Queue[Line] = asyncio.Queue()
    async with await asyncio.start_server(lambda *line: lines.put_nowait(line), "127.0.0.1", 0) as server:
        yield server, lines


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def welcomed(
    server: asyncio.Server, lines: "asyncio.Queue[Line]", welcome: bytes = WELCOME, patience: float = 10
) -> tuple[Connection, Line]:
    """A connection that is up, and the broker's end of it, which has read the greeting."""
    settings = MqttSettings(
        url=f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        client_id="x",
        timeout=Duration(patience),
    )
    connecting = asyncio.create_task(connect(settings, WILL, lambda _: None))
    line = await lines.get()
    await packet(line)
    line[1].write(welcome)
    return await connecting, line


def url(server: asyncio.Server) -> str:
    return f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def packet(line: Line) -> mqtt5.Packet:
    """The next one, of less than 128 octets."""
    head = await line[0].readexactly(2)
    return mqtt5.read(memoryview(head + await line[0].readexactly(head[1])))[0]


def fresh() -> tuple[Mqtt5, list[Publish]]:
    """One without a line: data comes from the test."""
    seen: list[Publish] = []
    return Mqtt5(MqttSettings(client_id="x"), WILL, seen.append), seen


@given(st.lists(packets, max_size=8), st.lists(st.integers(1, 40), max_size=30))
def test_it_does_not_matter_how_the_octets_come(all_: list[mqtt5.Packet], cuts: list[int]) -> None:
    async def feed() -> None:
        connection, seen = fresh()
        octets = WELCOME + b"".join(each.write() for each in all_)
        for cut in cuts:
            connection.data_received(octets[:cut])
            octets = octets[cut:]
        connection.data_received(octets)
        assert not connection.lost.done()
        wanted = [Publish(p.topic, p.payload, False) for p in all_ if isinstance(p, mqtt5.PublishPacket)]
        assert seen == wanted

    asyncio.run(feed())


@PANICS
@given(
    st.lists(st.one_of(st.binary(max_size=60), packets.map(lambda each: each.write()), spoilt), max_size=8)
)
def test_whatever_comes_ends_the_connection_at_worst(chunks: list[bytes]) -> None:
    async def feed() -> None:
        connection, _ = fresh()
        connection.data_received(WELCOME)
        answer = connection.publish(Message("a", b"b"))
        for chunk in chunks:
            if not connection.lost.done():
                connection.data_received(chunk)
        connection.connection_lost(None)
        assert answer.done()
        assert connection.lost.result()

    asyncio.run(feed())


@PANICS
@BOTH_LOOPS
@pytest.mark.parametrize(
    ("says", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 99, "it says what is not MQTT 5 (Invalid fixed header"),
        (b"\x40\x03\0\x01\x07", "it says what is not MQTT 5 (Invalid PubAckReasonCode value: 7)"),
        (b"\x30\xff\xff\xff\x7f" + bytes(2**20), "not MQTT 5 (a packet of more than 1048576 octets)"),
        (b"\xe0\x01\x8e", "the broker has closed it: session taken over"),
        (b"\x40\x09\0\x01\0\x05\x1f\0\x02\xff\xff", "not MQTT 5 (a string that is not UTF-8)"),
        (WELCOME, "not MQTT 5 (a second CONNACK)"),
    ],
    ids=["HTTP", "a code that there is not", "too large", "farewell", "no UTF-8", "welcomed twice"],
)
async def test_what_ends_a_connection(says: bytes, why: str) -> None:
    async with listening() as (server, lines), asyncio.timeout(10):
        connection, (reader, writer) = await welcomed(server, lines)
        answer = connection.publish(Message("a", b"b"))
        writer.write(says)
        assert why in await connection.lost
        assert await answer < 0, "nobody waits for ever"
        with suppress(ConnectionError):
            await reader.read()  # we close it, too
        writer.close()


@BOTH_LOOPS
async def test_the_broker_says_how_often_it_wants_to_hear_of_us() -> None:
    async with listening() as (server, lines), asyncio.timeout(10):
        welcome = mqtt5.ConnAckPacket(server_keep_alive=1).write()
        connection, line = await welcomed(server, lines, welcome, patience=3600)
        for _ in range(2):
            assert isinstance(await packet(line), mqtt5.PingReqPacket)
            line[1].write(mqtt5.PingRespPacket().write())
        assert not connection.lost.done()
        closing = asyncio.create_task(connection.close())
        while not isinstance(await packet(line), mqtt5.DisconnectPacket):  # a ping may be under way
            pass
        line[1].close()
        await closing


async def test_identifiers_begin_anew_and_pass_over_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt5_module, "LAST_IDENTIFIER", 4)
    async with listening() as (server, lines), asyncio.timeout(10):
        connection, line = await welcomed(server, lines, patience=3600)
        connection.publish(Message("waits", b""))
        await packet(line)
        seen: list[int | None] = []
        for _ in range(6):
            answer = connection.publish(Message("a", b""))
            published = await packet(line)
            assert isinstance(published, mqtt5.PublishPacket)
            seen.append(published.packet_id)
            line[1].write(mqtt5.PubAckPacket(published.packet_id or 0).write())
            assert await answer == 0
        assert seen == [2, 3, 4, 2, 3, 4]
        connection.cut("over")
        line[1].close()


async def test_what_cannot_be_published_is_answered_and_holds_nothing_up() -> None:
    async with listening() as (server, lines), asyncio.timeout(10):
        connection, line = await welcomed(server, lines, mqtt5.ConnAckPacket(receive_max=1).write())
        answers = [connection.publish(Message(topic, b"")) for topic in ("a", "bad/#", "c")]
        for _ in range(2):
            published = await packet(line)
            assert isinstance(published, mqtt5.PublishPacket)
            line[1].write(mqtt5.PubAckPacket(published.packet_id or 0).write())
        assert await asyncio.gather(*answers) == [0, 144, 0]
        connection.cut("over")
        line[1].close()


async def test_an_acknowledgement_of_nothing_is_none() -> None:
    async with listening() as (server, lines), asyncio.timeout(10):
        connection, line = await welcomed(server, lines, patience=0.3)
        connection.publish(Message("a", b""))
        while not connection.lost.done():
            line[1].write(mqtt5.PubAckPacket(999).write())
            await asyncio.wait([connection.lost], timeout=0.02)
        assert connection.lost.result() == "the broker acknowledges nothing"
        line[1].close()


@BOTH_LOOPS
async def test_nothing_stays_open_when_the_farewell_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "CONNECT_TIMEOUT", 0.05)
    async with listening() as (server, lines), asyncio.timeout(10):
        settings = MqttSettings(url=url(server), client_id="x")
        connecting = asyncio.create_task(connect(settings, WILL, lambda _: None))
        line = await lines.get()
        while not isinstance(await packet(line), mqtt5.DisconnectPacket):
            pass
        connecting.cancel()
        assert await line[0].read() == b""
        line[1].close()
        await asyncio.wait([connecting])


@BOTH_LOOPS
@pytest.mark.parametrize("forgotten", [False, True])
async def test_the_will_speaks_for_one_who_cannot_say_that_he_goes(
    monkeypatch: pytest.MonkeyPatch, *, forgotten: bool
) -> None:
    """The broker has what it takes at once, so `offline` has no room: no DISCONNECT, which drops the will.

    What is forgotten is to leave nothing behind, no will either.
    """
    monkeypatch.setattr(mqtt_module, "FAREWELL_TIMEOUT", 0.05)
    monkeypatch.setattr(broker_module, "GOODBYE_TIMEOUT", 0.05)
    async with listening() as (server, lines), asyncio.timeout(10):
        sink = MqttSink("x", MqttSettings(url=url(server)))
        starting = asyncio.create_task(sink.start())
        line = await lines.get()
        await packet(line)
        line[1].write(mqtt5.ConnAckPacket(receive_max=1).write())
        await starting
        assert isinstance(online := await packet(line), mqtt5.PublishPacket)
        assert online.payload == b"online"
        if forgotten:
            sink.forget()
        await sink.stop()
        assert await line[0].read() == (mqtt5.DisconnectPacket().write() if forgotten else b"")
        line[1].close()


@BOTH_LOOPS
async def test_a_refused_farewell_is_none() -> None:
    async with listening() as (server, lines), asyncio.timeout(10):
        sink = MqttSink("x", MqttSettings(url=url(server)))
        starting = asyncio.create_task(sink.start())
        line = await lines.get()
        await packet(line)
        line[1].write(WELCOME)
        await starting
        stopping = asyncio.create_task(sink.stop())
        for _ in range(2):
            published = await packet(line)
            assert isinstance(published, mqtt5.PublishPacket)
            full = mqtt5.PubAckReasonCode.QUOTA_EXCEEDED
            line[1].write(mqtt5.PubAckPacket(published.packet_id or 0, reason_code=full).write())
        await stopping
        assert await line[0].read() == b"", "no DISCONNECT: the will is published"
        line[1].close()


def test_an_address_that_is_dead_is_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two the first swallows all; on the loop whose resolver can be replaced."""
    monkeypatch.setattr(broker_module, "CONNECT_TIMEOUT", 0.2)

    async def connecting() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as dead, ExitStack() as stack:
            for _ in range(3):  # all that it holds for somebody to accept
                held = stack.enter_context(socket.socket())
                held.setblocking(False)
                held.connect_ex(dead.getsockname())
            async with listening() as (server, lines):
                found = [
                    (socket.AF_INET, socket.SOCK_STREAM, 6, "", each.getsockname())
                    for each in (dead, *server.sockets)
                ]

                async def resolve(*_: object, **__: object) -> object:
                    return found

                monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
                connection, line = await welcomed(server, lines)
                connection.cut("over")
                line[1].close()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(asyncio.wait_for(connecting(), 10))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (135, "not authorized"),
        (155, "qos not supported"),
        (16, "no matching subscribers"),
        (7, "reason code 7"),
    ],
)
def test_reasons(code: int, words: str) -> None:
    assert reason(code) == words
