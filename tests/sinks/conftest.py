"""Sinks behind the real delivery loop over a real journal."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mailbell.clock import SystemClock
from mailbell.delivery import consumer as consumer_module
from mailbell.delivery.alignment import Alignment
from mailbell.delivery.consumer import Delivery
from mailbell.delivery.feed import Feed
from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.journal.base import Parked
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.mail import Envelope, Mail, Source, new_id
from mailbell.settings import JournalSettings, SinkSettings
from mailbell.sinks.base import Sink

PATIENCE = 60.0

PICTURE = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")


def mail(
    subject: str = "Motion",
    text: str = "Motion detected",
    mail_from: str = "cam@cams.lan",
    rcpt_to: Sequence[str] = ("garden@alarms.lan",),
    *,
    raw: bytes | None = None,
) -> Mail:
    """A mail as the server hands it to the journal."""
    raw = f"Subject: {subject}\r\n\r\n{text}\r\n".encode() if raw is None else raw
    source = Source("192.0.2.1", 49152, "camera1")
    return Mail(
        new_id(1453742689582), 1453742689582, "smtp", source, Envelope(mail_from, tuple(rcpt_to)), raw
    )


def event(*args: object, **kwargs: object) -> Converted:
    """The same, converted."""
    return convert(mail(*args, **kwargs), ConvertOptions())  # type: ignore[arg-type]


def certified(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for 127.0.0.1 and localhost; the files of it and of its key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "certificate.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(private)
    return folder / "certificate.pem", folder / "key.pem"


class House:
    """A journal, and sinks that it is delivered to."""

    def __init__(self, journal: SqliteJournal, stack: AsyncExitStack) -> None:
        self.journal = journal
        self._stack = stack
        self.deliveries: dict[str, Delivery] = {}

    async def add(self, sink: Sink, settings: SinkSettings | None = None) -> Delivery:
        """Deliver to this sink from now on."""
        delivery = Delivery(
            sink,
            await self.journal.consumer(sink.name),
            settings or SinkSettings(),
            Feed(self.journal, {}),
            Alignment([sink.name], []),
            SystemClock(),
        )
        task = asyncio.create_task(delivery.run())

        async def end() -> None:
            task.cancel()
            await asyncio.wait([task])
            await delivery.drain(1)

        self._stack.push_async_callback(end)
        self.deliveries[sink.name] = delivery
        return delivery

    async def receive(self, *mails: Mail) -> list[str]:
        """Put mails into the journal; their IDs."""
        await asyncio.gather(*map(self.journal.append, mails))
        return [each.id for each in mails]

    async def settled(self, name: str) -> None:
        """Wait until this sink has all, or has it parked."""
        async with asyncio.timeout(PATIENCE):
            while self.deliveries[name].consumer.lag:  # noqa: ASYNC110  a number, not an event
                await asyncio.sleep(0.001)

    async def parked(self, name: str) -> Sequence[Parked]:
        """What this sink has given up."""
        return await self.deliveries[name].consumer.parked()


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """The delays of the real schedule are for real receivers; these are a thousandth."""
    monkeypatch.setattr("mailbell.delivery.schedule.DELAYS", (0.001, 0.005, 0.03, 0.12))
    monkeypatch.setattr(consumer_module, "START_DELAYS", (0.01,))
    with DataFolder(tmp_path / "data") as folder:
        journal = await SqliteJournal.open(folder, JournalSettings())
        async with AsyncExitStack() as stack:
            yield House(journal, stack)
        await journal.close()
