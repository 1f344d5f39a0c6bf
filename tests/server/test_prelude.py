"""PROXY headers: from any octets in any chunking, and on the wire; who is waited for to speak TLS."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailbell.journal.sqlite import SqliteJournal
from mailbell.server import prelude
from mailbell.server.prelude import Endpoint, ProxyError, Speakers, header_length, parse
from tests.conftest import BOTH_LOOPS
from tests.server.conftest import Connect, Serve

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v1(source: object, port: int = 4711) -> bytes:
    kind = f"TCP{ip_address(str(source)).version}"
    return f"PROXY {kind} {source} {source} {port} 25\r\n".encode()


def v2(source: object, port: int = 4711, tlvs: bytes = b"", first: int = 0x21) -> bytes:
    packed = ip_address(str(source)).packed
    body = packed * 2 + struct.pack("!HH", port, 25) + tlvs
    return SIGNATURE + struct.pack("!BBH", first, 0x11 if len(packed) == 4 else 0x21, len(body)) + body


sources = st.ip_addresses().map(
    lambda ip: ip if ip.version == 4 or ip.ipv4_mapped is None else IPv4Address(7)
)
ports = st.integers(0, 65535)
headers = st.one_of(
    st.builds(v1, sources, ports), st.builds(v2, sources, ports, st.binary(max_size=600), st.just(0x21))
)


@given(headers, st.binary(max_size=50))
def test_a_header_is_found_whole_however_it_comes(header: bytes, behind: bytes) -> None:
    assert [header_length(header[:end]) for end in range(1, len(header))] == [0] * (len(header) - 1)
    assert header_length(header + behind) == len(header)
    assert isinstance(parse(header), Endpoint)


@given(sources, ports)
def test_what_it_says(source: IPv4Address | IPv6Address, port: int) -> None:
    assert parse(v1(source, port)) == parse(v2(source, port)) == (str(source), port)


@given(st.one_of(st.binary(), st.binary().map(lambda tail: SIGNATURE + tail),
                 st.binary().map(lambda tail: b"PROXY " + tail + b"\r\n"),
                 st.text().map(lambda tail: b"PROXY TCP4 " + tail.encode() + b"\r\n")))  # fmt: skip
@example(b"PROXY TCP4 1.2.3.4 1.2.3.4 99999 25\r\n")
@example(b"PROXY TCP4 ::1 ::1 1 25\r\n")
@example(b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 25\r\n")
@example("PROXY TCP4 1.2.3.4 1.2.3.4 ١ 25\r\n".encode())
@example(b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 25\r\n")
@example(b"PROXY\r\n")
@example(SIGNATURE + b"\x21\x11\x00\x04\x01\x02\x03\x04")
@example(SIGNATURE + b"\x11\x11\x00\x00")
def test_any_octets_are_a_header_or_refused(octets: bytes) -> None:
    length = 0
    with suppress(ProxyError):
        for end in range(1, len(octets) + 1):
            length = header_length(octets[:end])
            assert 0 <= length <= end
            if length:
                break
    if length:
        with suppress(ProxyError):
            real = parse(octets[:length])
            assert real is None or (ip_address(real.ip) and 0 <= real.port <= 65535)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
        v2("10.0.0.1", first=0x20),
        SIGNATURE + b"\x20\x00\x00\x00",
        SIGNATURE + b"\x21\x00\x00\x00",
        SIGNATURE + b"\x21\x31\x00\x02ab",
    ],
    ids=["UNKNOWN", "UNKNOWN with more", "LOCAL with addresses", "LOCAL", "UNSPEC", "unix"],
)
def test_no_client_named(header: bytes) -> None:
    assert header_length(header) == len(header)
    assert parse(header) is None


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO x\r\n",
        b"PROXY TCP4 " + b"1" * 120,
        SIGNATURE + b"\x21\x11\xff\xff",
        b"\x16\x03\x01",
        b"\r\nQUIT\r\n",
    ],
    ids=["SMTP", "endless", "huge", "TLS", "almost"],
)
def test_what_is_no_header_is_refused_at_once(octets: bytes) -> None:
    with pytest.raises(ProxyError):
        header_length(octets)


def test_an_ipv4_address_in_version_2_of_ipv6() -> None:
    assert parse(v2(IPv6Address("::ffff:192.168.1.5"))) == ("192.168.1.5", 4711)


# On the wire

PROXIES = {"proxies": ("127.0.0.9/32",)}


@BOTH_LOOPS
@pytest.mark.parametrize("header", [v1, v2], ids=["v1", "v2"])
@pytest.mark.parametrize("source", ["192.168.7.7", "fd00::7"])
async def test_the_client_behind_a_proxy(
    serve: Serve, connect: Connect, journal: SqliteJournal, header: Callable[[str], bytes], source: str
) -> None:
    server = await serve(**PROXIES)
    client = await connect(server, "127.0.0.9")
    octets = header(source)
    client.writer.write(octets[:9])
    await client.writer.drain()
    await asyncio.sleep(0.02)  # two segments: there is nothing to await but time
    client.writer.write(octets[9:] + b"EHLO x\r\n")
    assert (await client.answer()).startswith("220")
    await client.answer()
    await client.mail()
    assert (await client.say("QUIT")).startswith("221")
    mail = await journal.read(1)
    assert (mail.source.ip, mail.source.port) == (source, 4711)
    [transcript] = await server.transcripts.ended()
    assert (transcript.ip, transcript.port) == (source, 4711)
    assert transcript.lines[0].text == "forwarded by the proxy 127.0.0.9"


async def test_the_rules_hold_for_the_client_behind_the_proxy(serve: Serve, connect: Connect) -> None:
    server = await serve(**PROXIES, max_per_source=1)
    first, second, stranger = [await connect(server, "127.0.0.9") for _ in range(3)]
    for client, source in ((first, "10.0.0.1"), (second, "10.0.0.1"), (stranger, "8.8.8.8")):
        client.writer.write(v1(source))
        await client.writer.drain()
        if client is first:
            assert (await client.answer()).startswith("220")
    assert (await second.answer()).startswith("421 4.7.0 Too many connections from this address")
    assert (await stranger.answer()).startswith("554 5.7.1")
    await first.say("QUIT")
    third = await connect(server, "127.0.0.9")
    third.writer.write(v1("10.0.0.1"))
    assert (await third.answer()).startswith("220"), "the first one's place is free"


async def test_a_header_from_a_source_that_is_no_proxy_is_rubbish(serve: Serve, connect: Connect) -> None:
    server = await serve(**PROXIES)
    client = await connect(server)
    client.writer.write(v1("10.0.0.1"))
    assert (await client.answer()).startswith("220")
    assert (await client.answer()).startswith("500 5.5.1 Unknown command")
    await client.say("QUIT")
    assert (await server.transcripts.ended())[0].ip == "127.0.0.1"


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\x00\x00\x00"])
async def test_the_proxys_own_checks_are_served(serve: Serve, connect: Connect, header: bytes) -> None:
    client = await connect(await serve(**PROXIES), "127.0.0.9")
    client.writer.write(header)
    assert (await client.answer()).startswith("220")


@BOTH_LOOPS
@pytest.mark.parametrize(
    ("octets", "outcome"),
    [
        (b"", "no PROXY header came"),
        (b"PROXY TCP4", "no PROXY header came"),
        (b"EHLO x\r\n", "the first octets are not a PROXY header; the load balancer has to send one"),
        (b"PROXY TCP4 a b c d\r\n", "its PROXY header makes no sense"),
    ],
    ids=["nothing", "half", "SMTP", "nonsense"],
)
async def test_a_proxy_without_a_header_is_told_and_its_slot_is_free_again(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, octets: bytes, outcome: str
) -> None:
    monkeypatch.setattr(prelude, "PROXY_TIMEOUT", 0.1)
    server = await serve(**PROXIES, threads=1)
    client = await connect(server, "127.0.0.9")
    client.writer.write(octets)
    assert (await client.answer()).startswith("421 4.3.2 A PROXY header was expected")
    assert outcome in await server.transcripts.outcome()
    assert server.slots.taken == 0


@BOTH_LOOPS
async def test_a_health_check_of_the_proxy_costs_nothing(serve: Serve, connect: Connect) -> None:
    """It connects and closes; to peek at the end of the stream again and again would be a busy loop."""
    server = await serve(**PROXIES)
    client = await connect(server, "127.0.0.9")
    client.writer.close()
    began = asyncio.get_running_loop().time()
    assert "closed the connection without a PROXY header" in await server.transcripts.outcome()
    assert asyncio.get_running_loop().time() - began < prelude.PROXY_TIMEOUT / 2


async def test_looking_for_tls_takes_nothing_from_the_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.send(b"\x16\x03\x01")
        assert await prelude.speaks_tls(ours, 1)
        assert ours.recv(10) == b"\x16\x03\x01"
        theirs.send(b"EHLO")
        assert not await prelude.speaks_tls(ours, 1)
        assert ours.recv(10) == b"EHLO"
        assert not await prelude.speaks_tls(ours, 0.01), "nothing comes"


def test_who_is_waited_for() -> None:
    speakers, camera = Speakers(), "192.168.1.5"
    assert speakers.patience(camera) == prelude.FIRST_LOOK
    assert speakers.patience("127.0.0.1") == speakers.patience("::1") == prelude.LOCAL_LOOK
    speakers.remember(camera, False)
    assert speakers.patience(camera) == 0, "a known device is greeted at once"
    speakers.remember(camera, True)
    assert speakers.patience(camera) == prelude.TLS_LOOK
    speakers.remember(camera, False)
    assert speakers.patience(camera) == prelude.FIRST_LOOK, "a machine with two programs, one of each kind"
    for _ in range(200):
        speakers.remember(camera, False)
    assert speakers.patience(camera) == 0, "the other program is gone"
    for number in range(5000):
        speakers.remember(f"10.0.{number // 256}.{number % 256}", False)
    assert speakers.patience(camera) == prelude.FIRST_LOOK, "the memory is bounded"
