"""The smtp sink against aiosmtpd, which answers as it is told, and a real Postfix."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword
from hypothesis import given
from hypothesis import strategies as st

from mailbell.event.convert import ConvertOptions, convert
from mailbell.event.sample import sample
from mailbell.settings import SmtpSettings
from mailbell.sinks import smtp as smtp_module
from mailbell.sinks.base import Delivered, Outcome, Reject, Retry, Sink
from mailbell.sinks.smtp import _ADDRESS, SmtpSink
from tests.conftest import BOTH_LOOPS
from tests.postfix import Postfix
from tests.sinks.conftest import House, certified, event, mail
from tests.smtpd import Untrusted
from tests.tools import free_port, need, need_root

SAMPLE = convert(sample(), ConvertOptions())
HOST = "127.0.0.1"


class Relay:
    """A mail server's mind. `plan` has replies by verb, one after the other; then all is accepted."""

    def __init__(self) -> None:
        self.plan: dict[str, list[str]] = {}
        self.envelopes: list[Envelope] = []
        self.sessions: set[int] = set()
        self.port = 0

    def _planned(self, verb: str) -> str | None:
        replies = self.plan.get(verb)
        return replies.pop(0) if replies else None

    async def handle_MAIL(  # noqa: N802  aiosmtpd's names
        self, _server: object, session: object, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.sessions.add(id(session))
        envelope.mail_from = address  # "<>" for the null sender, aiosmtpd wants it so
        envelope.mail_options.extend(options)
        return self._planned("MAIL") or "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: object, _session: object, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        reply = self._planned("RCPT") or "250 OK"
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: Any, _session: object, envelope: Envelope) -> str:  # noqa: N802
        reply = self._planned("DATA") or "250 OK"
        if reply == "cut":
            server.transport.abort()
        elif reply.startswith("250"):
            self.envelopes.append(envelope)
        return reply


@contextmanager
def relaying(port: int = 0, relay: Relay | None = None, **options: Any) -> Iterator[Relay]:
    relay = relay or Relay()
    relay.port = port or free_port()
    controller = Untrusted(relay, hostname=HOST, port=relay.port, enable_SMTPUTF8=True, **options)
    controller.start()
    try:
        yield relay
    finally:
        controller.stop()


@pytest.fixture
def relay() -> Iterator[Relay]:
    with relaying() as relay:
        yield relay


Up = Callable[..., AbstractAsyncContextManager[SmtpSink]]


@pytest.fixture
def up(relay: Relay) -> Up:
    """A sink that forwards to the relay."""

    @asynccontextmanager
    async def make(**settings: Any) -> AsyncIterator[SmtpSink]:
        given: dict[str, Any] = {"host": HOST, "port": relay.port, "tls": "off"}
        sink = SmtpSink("relay", SmtpSettings(**(given | settings)))
        await sink.start()
        try:
            yield sink
        finally:
            await sink.stop()

    return make


def test_it_is_a_sink() -> None:
    sink: Sink = SmtpSink("relay", SmtpSettings(host=HOST))
    assert not sink.sequential


@BOTH_LOOPS
async def test_the_mail_goes_as_it_came_below_a_trace_field(relay: Relay, up: Up) -> None:
    async with up(hostname="bell.lan") as sink:
        assert await sink.deliver(SAMPLE) == Delivered()
    [envelope] = relay.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("camera1@cameras.example", ["alarms@example.com"])
    assert isinstance(envelope.content, bytes)
    assert (
        envelope.content
        == (
            b"Received: from camera1 ([192.0.2.1])\r\n"
            b"\tby bell.lan with ESMTP id 015279d1-0d2e-7000-8000-000000000000;\r\n"
            b"\tMon, 25 Jan 2016 17:24:49 -0000\r\n"
        )
        + SAMPLE.mail.raw
    )


async def test_octets_that_are_hard_to_send(relay: Relay, up: Up) -> None:
    """Dots, 8-bit text, no end of line, bare line feeds (which SMTP has no way to send: they get a CR)."""
    item = event(raw=b"Subject: \xe4\r\n\r\n.\r\n..two\r\n.one\nbare\n\r\n\xff\xfe end", mail_from="")
    async with up() as sink:
        assert await sink.deliver(item) == Delivered()
    [envelope] = relay.envelopes
    assert isinstance(envelope.content, bytes)
    assert envelope.content.endswith(b"\r\n.\r\n..two\r\n.one\r\nbare\r\n\r\n\xff\xfe end\r\n")
    assert envelope.mail_from == "<>"
    assert "BODY=8BITMIME" in envelope.mail_options


async def test_addresses_beyond_ascii(relay: Relay, up: Up) -> None:
    async with up(rcpt_to=("bü@lan",)) as sink:
        assert await sink.deliver(SAMPLE) == Delivered()
    assert relay.envelopes[0].rcpt_tos == ["bü@lan"]
    assert "SMTPUTF8" in relay.envelopes[0].mail_options


async def test_a_rewritten_envelope(relay: Relay, up: Up) -> None:
    settings = {
        "mail_from": "",
        "rcpt_to": ("{envelope.rcpt_to[0].local}@home.lan", "log@home.lan", "log@home.lan"),
    }
    async with up(**settings) as sink:
        assert await sink.deliver(event(rcpt_to=("door@alarms.lan", "x@lan"))) == Delivered()
    [envelope] = relay.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("<>", ["door@home.lan", "log@home.lan"])


async def test_what_a_mail_says_is_no_command(relay: Relay, up: Up) -> None:
    item = event("x@lan>\tNOTIFY=NEVER", "text")
    async with up(rcpt_to=("{subject}",)) as sink:
        assert await sink.deliver(item) == Reject("'x@lan>\\tNOTIFY=NEVER' is no address")
        assert await sink.deliver(event("")) == Reject("'' is no address")
    assert not relay.envelopes


@given(st.text() | st.text('"\\<> @a\r\n\0', max_size=8))
def test_an_address_keeps_to_its_brackets(text: str) -> None:
    if _ADDRESS.fullmatch(text):
        assert not re.search(r"[\0-\x1f\x7f]", text)
        assert not re.search(r"[<> \"]", re.sub(r'"([^"\\]|\\.)*"', "", text, count=1))


@pytest.mark.parametrize(
    ("verb", "reply", "outcome"),
    [
        ("MAIL", "451 4.3.0 busy", Retry("451 4.3.0 busy")),
        ("MAIL", "550 5.7.1 not you", Reject("550 5.7.1 not you")),
        ("MAIL", "530 5.7.0 log in first", Retry("530 5.7.0 log in first")),
        ("RCPT", "450 4.2.0 later", Retry("450 4.2.0 later (alarms@example.com)")),
        ("RCPT", "550 5.1.1 unknown", Reject("550 5.1.1 unknown (alarms@example.com)")),
        ("RCPT", "552 too many", Retry("452 too many (alarms@example.com)")),
        ("DATA", "452 4.3.1 full", Retry("452 4.3.1 full")),
        ("DATA", "554 5.6.0 spam", Reject("554 5.6.0 spam")),
        ("DATA", "421 4.3.2 going down", Retry("421 4.3.2 going down")),
    ],
)
async def test_outcomes(relay: Relay, up: Up, verb: str, reply: str, outcome: Outcome) -> None:
    relay.plan = {verb: [reply]}
    async with up() as sink:
        assert await sink.deliver(SAMPLE) == outcome
        assert await sink.deliver(SAMPLE) == Delivered()
    assert len(relay.envelopes) == 1


async def test_recipients_that_are_refused_are_tried_alone(relay: Relay, up: Up) -> None:
    item = event(rcpt_to=("a@lan", "b@lan", "c@lan"))
    relay.plan = {
        "RCPT": ["250 OK", "450 later", "550 unknown", "250 OK", "550 unknown", "550 unknown", "250 OK"]
    }
    async with up() as sink:
        assert await sink.deliver(item) == Retry("450 later (b@lan)")
        assert await sink.deliver(item) == Reject("550 unknown (c@lan)")
        assert await sink.deliver(item) == Reject("550 unknown (c@lan)"), "replayed too early"
        assert await sink.deliver(item) == Delivered()
        assert await sink.deliver(item) == Delivered(), "replayed: to all once more"
    assert [each.rcpt_tos for each in relay.envelopes] == [
        ["a@lan"],
        ["b@lan"],
        ["c@lan"],
        ["a@lan", "b@lan", "c@lan"],
    ]


async def test_a_loop_ends(relay: Relay, up: Up) -> None:
    """A server that forwards to ours: each round adds a field, ours counts them."""
    item, rounds = event(), 0
    async with up() as sink:
        while isinstance(outcome := await sink.deliver(item), Delivered):
            rounds += 1
            content = relay.envelopes.pop().content
            assert isinstance(content, bytes)
            item = event(raw=content)
    assert isinstance(outcome, Reject)
    assert "a loop" in outcome.reason
    assert rounds == 51


async def test_connections_are_kept_for_a_while(
    relay: Relay, up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_module, "KEEP", 0.2)
    async with up() as sink:
        for _ in range(5):
            assert await sink.deliver(SAMPLE) == Delivered()
        assert len(relay.sessions) == 1
        async with asyncio.timeout(5):
            while sink._idle:  # noqa: ASYNC110  it ends by itself
                await asyncio.sleep(0.01)
        assert await sink.deliver(SAMPLE) == Delivered()
    assert not sink._idle


async def test_a_kept_connection_that_is_gone(up: Up, relay: Relay) -> None:
    with relaying() as first:
        async with up(port=first.port) as sink:
            assert await sink.deliver(SAMPLE) == Delivered()
            sink._idle[0].transport.abort()  # type: ignore[union-attr]
            assert await sink.deliver(SAMPLE) == Delivered()
    assert len(first.envelopes) == 2


def check_password(*arguments: Any) -> AuthResult:
    login = arguments[4]
    assert isinstance(login, LoginPassword)
    return AuthResult(success=(login.login, login.password) == (b"me", b"hunter2"), handled=False)


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # TLS from the start is not seen
@pytest.mark.parametrize("mode", ["starttls", "implicit"])
async def test_tls_and_auth(tmp_path: Path, up: Up, mode: str) -> None:
    certificate, key = certified(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    options: dict[str, Any] = {"authenticator": check_password, "auth_required": True}
    if mode == "implicit":
        options |= {"ssl_context": context, "auth_require_tls": False}
    else:
        options |= {"tls_context": context, "require_starttls": True}
    with relaying(**options) as relay:
        given = {"port": relay.port, "tls": mode, "user": "me", "ca": certificate}
        async with up(**given, password="hunter2") as sink:
            assert await sink.deliver(SAMPLE) == Delivered()
        async with up(**given, password="hunter3") as sink:
            outcome = await sink.deliver(SAMPLE)
            assert isinstance(outcome, Retry), "a password that is wrong now is no fault of the mail"
            assert outcome.reason.startswith("535 5.7.8")
            shown = f"{outcome} {sink} {sink._settings} {sink._settings.describe()}"
            assert "hunter" not in shown
        async with up(**{**given, "ca": None}, password="hunter2") as sink:
            outcome = await sink.deliver(SAMPLE)
            assert isinstance(outcome, Retry)
            assert "certificate verify failed" in outcome.reason
        async with up(port=relay.port, tls=mode, ca=certificate) as sink:
            outcome = await sink.deliver(SAMPLE)
            assert isinstance(outcome, Retry)
            assert outcome.reason.startswith("530")
    assert len(relay.envelopes) == 1


async def test_a_server_without_starttls_gets_no_password(relay: Relay, up: Up) -> None:
    async with up(tls="starttls", user="me", password="hunter2") as sink:
        outcome = await sink.deliver(SAMPLE)
    assert isinstance(outcome, Retry)
    assert "STARTTLS" in outcome.reason
    assert not relay.envelopes


@pytest.mark.parametrize(
    "greeting", [b"", b"\xff\x00garbage\r\n", b"554 go away\r\n", b"220 hello\r\n", b"220 x" + b"x" * 100_000]
)
async def test_a_server_that_is_none(up: Up, greeting: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    server = await asyncio.start_server(talk, HOST)
    async with server, up(port=server.sockets[0].getsockname()[1]) as sink:
        outcome = await sink.deliver(SAMPLE)
    assert isinstance(outcome, Retry)
    assert outcome.reason


class TestThroughTheLoop:
    async def test_a_server_that_fails_in_every_way(self, house: House, relay: Relay) -> None:
        relay.plan = {
            "MAIL": ["451 busy"] * 5,
            "RCPT": ["450 later"] * 5,
            "DATA": ["cut", "452 full", "421 bye"] * 4,
        }
        await house.add(SmtpSink("relay", SmtpSettings(host=HOST, port=relay.port, tls="off")))
        ids = await house.receive(*(mail(f"{number}") for number in range(40)))
        await house.settled("relay")
        assert arrived(relay.envelopes) == sorted(ids)
        assert not await house.parked("relay")

    async def test_a_server_that_comes_and_goes(self, house: House) -> None:
        """What it had when it was cut off may come twice; nothing is lost."""
        relay = Relay()
        port = free_port()
        await house.add(SmtpSink("relay", SmtpSettings(host=HOST, port=port, tls="off")))
        ids = await house.receive(*(mail(f"{number}") for number in range(30)))
        for count in (5, 20, 35):
            with relaying(port, relay):
                ids += await house.receive(*(mail(f"{number}") for number in range(10)))
                await at_least(relay, count)
        with relaying(port, relay):
            await house.settled("relay")
        assert sorted(set(arrived(relay.envelopes))) == sorted(ids)

    async def test_one_refused_recipient_is_parked_and_replayed_alone(
        self, house: House, relay: Relay
    ) -> None:
        relay.plan = {"RCPT": ["250 OK", "550 5.1.1 unknown"]}
        delivery = await house.add(SmtpSink("relay", SmtpSettings(host=HOST, port=relay.port, tls="off")))
        await house.receive(mail(rcpt_to=("a@lan", "b@lan")))
        await house.settled("relay")
        [parked] = await house.parked("relay")
        assert parked.reason == "550 5.1.1 unknown (b@lan)"
        await delivery.consumer.replay([parked.sequence])
        await house.settled("relay")
        assert [each.rcpt_tos for each in relay.envelopes] == [["a@lan"], ["b@lan"]]


def arrived(envelopes: Sequence[Envelope]) -> list[str]:
    """The IDs in the trace fields."""
    return sorted(
        re.findall(r"by \S+ with ESMTP id ([0-9a-f-]{36});", str(each.content))[-1] for each in envelopes
    )


async def test_postfix_as_the_smarthost(house: House, tmp_path: Path) -> None:
    """With STARTTLS, through Postfix's queue to the mailbox behind it; its end in the middle of a burst."""
    need("postfix")
    need_root()
    certificate, key = certified(tmp_path)
    port = free_port()
    with relaying() as behind:
        main = {
            "relayhost": f"[{HOST}]:{behind.port}",
            "smtpd_tls_security_level": "encrypt",
            "smtpd_tls_chain_files": f"{key}, {certificate}",
            "smtpd_recipient_restrictions": "reject_unlisted_recipient, permit_mynetworks, reject",
            "relay_domains": "example.net",
            "relay_recipient_maps": "inline:{ nobody@example.org=x }",
            "queue_run_delay": "1s",
            "minimal_backoff_time": "1s",
        }
        smtpd = [f"{HOST}:{port} inet n - n - - smtpd"]
        settings = SmtpSettings(host=HOST, port=port, ca=certificate)
        await house.add(SmtpSink("relay", settings))
        with Postfix(main, smtpd) as instance:
            ids = await house.receive(*(mail(f"{number}") for number in range(40)))
            await at_least(behind, 5)
            instance.master.terminate()  # its children end with it; what they had accepted is in its queue
            await asyncio.to_thread(instance.master.wait)
            await asyncio.to_thread(instance.__enter__)
            ids += await house.receive(*(mail(f"{number}") for number in range(10)))
            await house.receive(mail(rcpt_to=("nobody@example.net",)))
            await house.settled("relay")
            await at_least(behind, 50)
    assert sorted(set(arrived(behind.envelopes))) == sorted(ids)
    [parked] = await house.parked("relay")
    assert parked.reason.startswith("550 5.1.1 <nobody@example.net>")


async def at_least(relay: Relay, count: int) -> None:
    """Wait until so many different mails have arrived, through another program."""
    async with asyncio.timeout(30):
        while len(set(arrived(relay.envelopes))) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
