"""TLS from every side: how it begins, how it fails and what the transcript says then, and its certificate."""

import asyncio
import smtplib
import socket
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mailbell.errors import StartupError
from mailbell.journal.sqlite import SqliteJournal
from mailbell.server import connection, ioserver, prelude
from mailbell.server.patience import LINGER
from mailbell.server.tls import RENEW_BEFORE, VALID_FOR, Certificate, SelfSigned, TlsContext
from tests.conftest import BOTH_LOOPS
from tests.server.conftest import Connect, HandClock, Serve, trusting, until

TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BOTH_VERSIONS = pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["TLSv1.2", "TLSv1.3"])
BOTH_KINDS = pytest.mark.parametrize("kind", ["starttls", "implicit"])


def send(port: int, kind: str, context: ssl.SSLContext) -> None:
    """Send a mail with smtplib."""
    if kind == "implicit":
        with smtplib.SMTP_SSL("127.0.0.1", port, context=context, timeout=20) as client:
            client.sendmail("a@lan", "b@lan", b"Subject: x\r\n\r\nx")
    else:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.starttls(context=context)
            client.sendmail("a@lan", "b@lan", b"Subject: x\r\n\r\nx")


def starting_tls(port: int, behind: bytes = b"") -> socket.socket:
    """A connection on which STARTTLS was said and answered."""
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    file = client.makefile("rb")
    file.readline()
    client.sendall(b"EHLO x\r\n")
    while file.readline()[3:4] == b"-":
        pass
    client.sendall(b"STARTTLS\r\n" + behind)
    assert file.readline().startswith(b"220")
    return client


def refuse(port: int, kind: str, context: ssl.SSLContext) -> None:
    """Send a mail that fails at TLS."""
    with pytest.raises((ssl.SSLError, OSError)):
        send(port, kind, context)


def begin(port: int, kind: str) -> socket.socket:
    """A connection on which it is the client's turn to begin TLS."""
    return starting_tls(port) if kind == "starttls" else socket.create_connection(("127.0.0.1", port), 20)


def old(version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that knows no TLS newer than this one."""
    context = trusting()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


# How it begins


@BOTH_LOOPS
@BOTH_VERSIONS
@BOTH_KINDS
async def test_a_mail_over_tls(
    serve: Serve, journal: SqliteJournal, kind: str, version: ssl.TLSVersion
) -> None:
    server = await serve(tls=kind)
    await asyncio.to_thread(send, server.port, kind, trusting(version))
    [transcript] = await server.transcripts.ended()
    mail = await journal.read(1)
    assert mail.source.tls is not None
    assert mail.source.tls.version == {TLS_1_2: "TLSv1.2", TLS_1_3: "TLSv1.3"}[version]
    assert transcript.tls == f"{mail.source.tls.version} {mail.source.tls.cipher}"
    assert transcript.outcome == "The client said QUIT."


@BOTH_LOOPS
async def test_a_client_hello_on_a_plain_port_from_a_stranger(serve: Serve, journal: SqliteJournal) -> None:
    server = await serve(tls="starttls")
    await asyncio.to_thread(send, server.port, "implicit", trusting())
    assert (await journal.read(1)).source.tls is not None


@BOTH_LOOPS
async def test_a_client_hello_from_a_source_that_spoke_smtp_is_told_and_served_the_next_time(
    serve: Serve, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prelude, "TLS_LOOK", 0.3)
    server = await serve(tls="starttls")
    await asyncio.to_thread(send, server.port, "starttls", trusting())
    await asyncio.to_thread(refuse, server.port, "implicit", trusting())
    assert "speaks SMTP without TLS" in await server.transcripts.outcome(2)
    await asyncio.to_thread(send, server.port, "implicit", trusting())
    await asyncio.to_thread(send, server.port, "starttls", trusting())
    await asyncio.to_thread(send, server.port, "implicit", trusting())
    assert journal.last_sequence == 4


@BOTH_KINDS
async def test_a_camera_that_knows_tls_1_0_only(serve: Serve, journal: SqliteJournal, kind: str) -> None:
    tolerant, modern = await serve(tls=kind, tls_min="1.0"), await serve(tls=kind)
    camera = old(ssl.TLSVersion.TLSv1)
    await asyncio.to_thread(send, tolerant.port, kind, camera)
    assert (await journal.read(1)).source.tls.version == "TLSv1"  # type: ignore[union-attr]
    await asyncio.to_thread(refuse, modern.port, kind, camera)
    assert 'set tls_min = "1.0"' in await modern.transcripts.outcome()


@BOTH_LOOPS
async def test_octets_in_clear_behind_starttls_are_discarded(serve: Serve, journal: SqliteJournal) -> None:
    server = await serve(tls="starttls")
    smuggled = b"EHLO evil\r\nMAIL FROM:<evil@lan>\r\nRCPT TO:<evil@lan>\r\n"

    def talk(behind: bytes) -> bytes:
        with trusting().wrap_socket(starting_tls(server.port, behind)) as client:
            client.sendall(b"DATA\r\n")
            return client.recv(1000)

    for behind in (smuggled, smuggled * 500):
        assert (await asyncio.to_thread(talk, behind)).startswith(b"503 5.5.1 No sender yet")
    for transcript in await server.transcripts.ended(2):
        assert any("discarded" in line.text for line in transcript.lines)


# How it fails


@BOTH_LOOPS
@BOTH_VERSIONS
@BOTH_KINDS
async def test_a_client_that_rejects_our_certificate(
    serve: Serve, kind: str, version: ssl.TLSVersion
) -> None:
    server = await serve(tls=kind)
    careful = ssl.create_default_context()
    careful.maximum_version = version
    await asyncio.to_thread(refuse, server.port, kind, careful)
    outcome = await server.transcripts.outcome()
    assert "ALERT_UNKNOWN_CA" in outcome
    assert "the client did not accept our certificate; install it there" in outcome
    assert 'tls = "off"' in outcome


@BOTH_LOOPS
@BOTH_KINDS
async def test_a_client_that_leaves_without_a_word_once_tls_is_on(serve: Serve, kind: str) -> None:
    server = await serve(tls=kind)

    def leave() -> None:
        trusting().wrap_socket(begin(server.port, kind)).close()

    await asyncio.to_thread(leave)
    assert "left as soon as TLS was on, without a word; if it does not accept our certificate" in (
        await server.transcripts.outcome()
    )


@BOTH_LOOPS
@BOTH_KINDS
async def test_a_client_that_leaves_during_the_handshake(serve: Serve, kind: str) -> None:
    server = await serve(tls=kind)
    (await asyncio.to_thread(begin, server.port, kind)).close()
    outcome = await server.transcripts.outcome()
    assert "the client left during the handshake; if it does not accept" in outcome


@BOTH_LOOPS
@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        (b"EHLO camera\r\n", "the client did not speak TLS; switch TLS or SSL on there"),
        (b"GET / HTTP/1.1\r\n\r\n", "the client spoke HTTP; this is an SMTP server"),
    ],
    ids=["plain", "http"],
)
async def test_who_does_not_speak_tls_on_an_implicit_port(
    serve: Serve, connect: Connect, words: bytes, outcome: str
) -> None:
    server = await serve(tls="implicit")
    client = await connect(server)
    client.send(words)
    assert outcome in await server.transcripts.outcome()


@BOTH_LOOPS
@BOTH_KINDS
async def test_a_handshake_that_never_ends(serve: Serve, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    for module in (connection, ioserver):
        monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT", 0.1)
    server = await serve(tls=kind, threads=1)
    with await asyncio.to_thread(begin, server.port, kind):
        outcome = await server.transcripts.outcome()
        assert "the client did not finish the handshake in time; if it does not speak TLS" in outcome
    assert server.slots.taken == 0


@BOTH_LOOPS
async def test_a_client_that_resets_behind_starttls(serve: Serve, connect: Connect) -> None:
    server = await serve(tls="starttls", threads=1)
    client = await connect(server)
    await client.talk("EHLO x")
    client.send("STARTTLS")
    await client.writer.drain()
    client.reset()
    await server.transcripts.ended()
    assert server.slots.taken == 0


@BOTH_LOOPS
async def test_a_client_that_goes_before_its_handshake_has_begun(serve: Serve, connect: Connect) -> None:
    """STARTTLS and reset in one go: the line is lost before the task that shakes hands has run."""
    server = await serve(tls="starttls", threads=1)
    client = await connect(server)
    await client.talk("EHLO x")
    [connection] = server.connections
    connection.data_received(b"STARTTLS\r\n")
    assert connection._transport is not None
    connection._transport.abort()
    connection.connection_lost(None)
    await server.transcripts.ended()
    assert server.slots.taken == 0


@BOTH_LOOPS
@BOTH_KINDS
async def test_a_tls_client_that_does_not_say_goodbye_is_cut(
    serve: Serve, clock: HandClock, kind: str
) -> None:
    server = await serve(tls=kind, threads=1)
    plain = await asyncio.to_thread(begin, server.port, kind)
    with await asyncio.to_thread(trusting().wrap_socket, plain):
        await until(lambda: [each for each in server.connections if each._session.tls])
        [connection] = server.connections
        for _ in range(3):
            connection.shutdown()
        await asyncio.sleep(0)
        assert server.slots.taken == 1
        clock.ahead += LINGER + 1
        server.look_at_clock()
        assert await server.transcripts.outcome() == "mailbell was stopped."
    assert server.slots.taken == 0


@BOTH_LOOPS
@BOTH_KINDS
async def test_a_stop_during_the_handshake(serve: Serve, kind: str) -> None:
    server = await serve(tls=kind)
    with await asyncio.to_thread(begin, server.port, kind):
        await until(lambda: server.connections)
        await server.stop(0.05)
        assert await server.transcripts.outcome() == "mailbell was stopped."


async def test_a_refusal_on_an_implicit_port_is_no_plain_text(serve: Serve, connect: Connect) -> None:
    client = await connect(await serve(tls="implicit", allow=("10.0.0.0/8",)))
    assert await client.reader.read() == b""


# The certificate


def pem(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=20)


async def test_a_certificate_replaced_while_running(
    serve: Serve, tmp_path: Path, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for name in "ab":
        (tmp_path / name).mkdir()
    first, second = (SelfSigned(tmp_path / name, "bell.lan", clock) for name in "ab")
    used = Certificate(tmp_path / "certificate.pem", tmp_path / "key.pem")

    def use(pair: Certificate) -> None:
        used.certificate.write_bytes(pair.certificate.read_bytes())
        used.key.write_bytes(pair.key.read_bytes())

    use(first)
    server = await serve(tls="implicit")
    server.tls = TlsContext(used, "1.2")
    assert await asyncio.to_thread(pem, server.port) == first.certificate.read_text()
    used.key.write_bytes(second.key.read_bytes())
    for _ in range(3):
        server.tls.follow()
    assert await asyncio.to_thread(pem, server.port) == first.certificate.read_text()
    used.certificate.unlink()
    for _ in range(3):
        server.tls.follow()
    use(second)
    server.tls.follow()
    assert await asyncio.to_thread(pem, server.port) == second.certificate.read_text()
    lines = [record.getMessage() for record in caplog.records if record.name == "mailbell.smtp"]
    assert ["not used" in line for line in lines] == [True, True, False], "each once, not every second"
    assert "key values mismatch" in lines[0].lower().replace("_", " ")
    assert "No such file" in lines[1]


def a_key(password: bytes | None = None) -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


@pytest.mark.parametrize(
    "key",
    [a_key, lambda: a_key(b"secret"), lambda: b"no key at all"],
    ids=["foreign", "encrypted", "rubbish"],
)
def test_a_key_that_is_no_use_is_one_clear_line(
    certificate: Certificate, tmp_path: Path, key: Callable[[], bytes]
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(key())
    with pytest.raises(StartupError) as error:
        TlsContext(Certificate(certificate.certificate, path), "1.2")
    line = str(error.value)
    assert line.startswith(f"{certificate.certificate}: can't be used as a certificate with the key {path}: ")
    assert line.endswith("belong together, the key without a pass phrase")
    assert "\n" not in line


def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="No such file or directory; both must be readable PEM files"):
        TlsContext(Certificate(tmp_path / "c.pem", tmp_path / "k.pem"), "1.2")


def read(pair: Certificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def test_the_self_signed_certificate(tmp_path: Path, clock: HandClock) -> None:
    pair = SelfSigned(tmp_path, "192.168.1.5", clock)
    made = read(pair)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["192.168.1.5", "localhost"]
    assert "192.168.1.5" in map(str, names.get_values_for_type(x509.IPAddress))
    assert pair.key.stat().st_mode & 0o777 == 0o600
    assert pair.key.parent.stat().st_mode & 0o777 == 0o700
    assert read(SelfSigned(tmp_path, "other", clock)) == made, "kept at the next start"


def test_the_self_signed_certificate_is_renewed_before_it_expires_while_running(
    tmp_path: Path, clock: HandClock
) -> None:
    pair = SelfSigned(tmp_path, "bell.lan", clock)
    context = TlsContext(pair, "1.2")
    first, before = read(pair), context.current()
    clock.ahead = (VALID_FOR - RENEW_BEFORE).total_seconds() - 60
    context.follow()
    assert read(pair) == first
    assert context.current() is before
    clock.ahead += 120
    context.follow()
    assert read(pair).not_valid_after_utc - first.not_valid_after_utc > VALID_FOR - 2 * RENEW_BEFORE
    assert context.current() is not before


@pytest.mark.parametrize("damage", ["certificate", "key", "mismatch", "missing"])
def test_a_damaged_self_signed_pair_is_made_anew(tmp_path: Path, clock: HandClock, damage: str) -> None:
    pair = SelfSigned(tmp_path, "bell.lan", clock)
    match damage:
        case "mismatch":  # a power cut between the two files
            pair.key.write_bytes(a_key())
        case "missing":
            pair.key.unlink()
        case _:
            getattr(pair, damage).write_bytes(b"\0" * 100)
    TlsContext(SelfSigned(tmp_path, "bell.lan", clock), "1.2")


@BOTH_LOOPS
async def test_the_first_command_comes_with_the_end_of_the_handshake(serve: Serve) -> None:
    """On a busy machine both are read at once, before the loop says that the handshake is done."""
    server = await serve(tls="starttls")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await reader.readline()
    writer.write(b"STARTTLS\r\n")
    assert (await reader.readline()).startswith(b"220")
    received, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting(ssl.TLSVersion.TLSv1_3).wrap_bio(received, out)
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(out.read())
            received.write(await reader.read(65536))
    client.write(b"EHLO x\r\n")
    writer.write(out.read())
    said = b""
    async with asyncio.timeout(10):
        while b"250 HELP" not in said:
            received.write(await reader.read(65536))
            try:
                said += client.read(65536)
            except ssl.SSLWantReadError:
                continue
    writer.close()
