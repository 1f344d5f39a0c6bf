"""`mailbell send`, against aiosmtpd."""

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mailbell.cli.main import commands
from tests.smtpd import Controller, Untrusted
from tests.tools import free_port


class Inbox:
    """A handler that keeps what it gets."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_RCPT(  # noqa: N802  aiosmtpd's name
        self, _server: object, _session: object, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address.startswith("nobody"):
            return "550 5.1.1 no\x1bbody here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 2.0.0 OK 0190-the-id"


def check_password(*arguments: Any) -> AuthResult:
    login = arguments[4]
    assert isinstance(login, LoginPassword)
    return AuthResult(success=(login.login, login.password) == (b"me", b"hunter2"), handled=False)


@contextmanager
def server(kind: type[Controller] = Controller, **options: Any) -> Iterator[tuple[Inbox, str]]:
    inbox = Inbox()
    port = free_port()
    controller = kind(inbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield inbox, f"127.0.0.1:{port}"
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "box")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(
        now + datetime.timedelta(1)
    )
    certificate = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    file = tmp_path_factory.mktemp("tls") / "box.pem"
    form = serialization.Encoding.PEM
    secret = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(secret + certificate.public_bytes(form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def send(*arguments: str, **options: Any) -> Result:
    return CliRunner(env={"MAILBELL_PASSWORD": None}).invoke(commands, ["send", *arguments], **options)


def only(inbox: Inbox) -> tuple[Envelope, EmailMessage]:
    (envelope,) = inbox.envelopes
    assert isinstance(envelope.content, bytes)
    return envelope, message_from_bytes(envelope.content, policy=policy.default)


def test_defaults_make_a_mail() -> None:
    with server() as (inbox, address):
        result = send("--server", address)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "250 2.0.0 OK 0190-the-id\n", "")
    envelope, message = only(inbox)
    assert (envelope.mail_from, envelope.rcpt_tos) == ("sender@example.com", ["test@example.com"])
    assert message["Date"]
    assert message["Message-ID"]
    assert message.get_content() == "This is a test.\r\n"


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "grün.jpg").write_bytes(b"\xff\xd8\xff" * 1000)
    (tmp_path / "inner.eml").write_bytes(b"Subject: inner\r\n\r\n\xff")
    (tmp_path / "notes.txt").write_text("ü")
    with server() as (inbox, address):
        result = send(
            *("--server", address, "--from", "a@lan", "--to", "b@lan", "--to", "c@lan", "--subject", "Grüße"),
            *(
                word
                for name in ("grün.jpg", "inner.eml", "notes.txt")
                for word in ("--attach", str(tmp_path / name))
            ),
            *("--body", "-"),
            input="größer\n.\nend",
        )
    assert result.exit_code == 0, result.output
    envelope, message = only(inbox)
    assert (envelope.mail_from, envelope.rcpt_tos) == ("a@lan", ["b@lan", "c@lan"])
    assert (message["Subject"], message["To"]) == ("Grüße", "b@lan, c@lan")
    body = message.get_body()
    assert body is not None
    assert body.get_content().splitlines() == ["größer", ".", "end"]
    files = {each.get_filename(): each.get_payload(decode=True) for each in message.iter_attachments()}
    assert files == {
        "grün.jpg": b"\xff\xd8\xff" * 1000,
        "inner.eml": b"Subject: inner\r\n\r\n\xff",
        "notes.txt": "ü".encode(),
    }


def test_addresses_beyond_ascii() -> None:
    with server() as (inbox, address):
        assert send("--server", address, "--to", "jürgen@example.com").exit_code == 0
    envelope, message = only(inbox)
    assert envelope.rcpt_tos == ["jürgen@example.com"]
    assert message["To"] == "jürgen@example.com"


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_tls_with_a_self_signed_certificate(tls: ssl.SSLContext, mode: str) -> None:
    options: dict[str, Any] = {"tls_context": tls, "require_starttls": True}
    kind = Controller
    if mode == "implicit":
        options, kind = {"ssl_context": tls}, Untrusted
    with server(kind, **options) as (inbox, address):
        assert send("--server", address, "--tls", mode).exit_code == 0
        refused = send("--server", address, "--tls", mode, "--verify")
    assert len(inbox.envelopes) == 1
    assert refused.exit_code == 1
    assert "certificate is not trusted: self-signed certificate; leave out --verify" in refused.stderr


def test_the_dialogue_is_shown_without_secrets() -> None:
    with server(authenticator=check_password, auth_require_tls=False) as (_, address):
        result = send("--server", address, "--user", "me", "--password", "hunter2", "-v")
        wrong = send("--server", address, "--user", "me", "--password", "guess", "-v")
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert lines[0].startswith("< 220 ")
    assert "> AUTH PLAIN ***" in lines
    assert any(line.lower().startswith("> mail from:<sender@example.com>") for line in lines)
    assert any(line.startswith("> (") and line.endswith("octets of message)") for line in lines)
    assert "< 250 2.0.0 OK 0190-the-id" in lines
    assert wrong.exit_code == 1
    assert "refused user name or password: 535" in wrong.stderr.splitlines()[-1]
    for shown in (result.stderr, wrong.stderr):
        assert "hunter2" not in shown
        assert "aHVudGVyMg" not in shown
        assert "bWU" not in shown


def test_the_password_comes_from_the_environment_too() -> None:
    with server(authenticator=check_password, auth_require_tls=False) as (_, address):
        environment = {"MAILBELL_PASSWORD": "hunter2"}
        assert send("--server", address, "--user", "me", env=environment).exit_code == 0
    missing = send("--user", "me")
    assert missing.exit_code == 2
    assert "MAILBELL_PASSWORD" in missing.stderr


def test_what_a_server_refuses_is_said() -> None:
    with server() as (inbox, address):
        result = send("--server", address, "--to", "nobody@example.com")
        no_tls = send("--server", address, "--tls", "starttls")
        no_auth = send("--server", address, "--user", "me", "--password", "x")
    assert not inbox.envelopes
    assert result.exit_code == 1
    assert result.stderr == (
        f"mailbell: {address} refused RCPT TO:<nobody@example.com>: 550 5.1.1 no\\x1bbody here\n"
    )
    assert "STARTTLS" in no_tls.stderr
    assert "Try another --tls" in no_tls.stderr
    assert "AUTH" in no_auth.stderr


@contextmanager
def talker(talk: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server that is none: it does this with its first client."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            client = listening.accept()[0]
            with client:
                talk(client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)


def test_servers_that_are_none() -> None:
    cases: list[tuple[Callable[[socket.socket], object], str]] = [
        (lambda client: client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "the server answered "),
        (lambda client: client.sendall(b"554 5.7.1 not you\r\n"), "the server answered 554 5.7.1 not you"),
        (lambda client: None, "needs --tls implicit"),
        (lambda client: client.recv(1), "timed out"),
    ]
    for talk, expected in cases:
        with talker(talk) as address:
            result = send("--server", address, "--timeout", "0.2")
        assert result.exit_code == 1
        assert expected in result.stderr
        assert result.stderr.count("\n") == 1
    with talker(lambda client: client.sendall(b"220 hello\r\n")) as address:
        assert "TLS failed" in send("--server", address, "--tls", "implicit").stderr


def test_places_where_no_server_is() -> None:
    assert "there is no host of this name" in send("--server", "no.such.host.invalid:25").stderr
    assert send("--server", "[::1]:1").stderr.startswith("mailbell: [::1]:1: ")  # a machine may lack IPv6


@pytest.mark.parametrize("server_option", ["", ":25", "host:0", "host:65536", "host:x", "::1", "[::1"])
def test_servers_that_cannot_be(server_option: str) -> None:
    result = send("--server", server_option)
    assert result.exit_code == 2
    assert "write 127.0.0.1:2525 or [::1]:2525" in result.stderr


def test_no_field_and_no_command_can_be_smuggled_in() -> None:
    assert send("--subject", "a\r\nBcc: b@example.com").exit_code == 2
    with server() as (inbox, address):
        result = send("--server", address, "--to", "a@example.com>\r\nDATA")
    assert result.exit_code == 2
    assert not inbox.envelopes
