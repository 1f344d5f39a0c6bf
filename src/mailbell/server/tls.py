"""TLS: the context of an I/O server, its certificate, and its reload when the files change."""

import datetime
import ipaddress
import logging
import os
import ssl
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mailbell.clock import Clock
from mailbell.errors import StartupError
from mailbell.settings import IoServerSettings, WebSettings

if TYPE_CHECKING:
    from cryptography import x509

VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}

HANDSHAKE_TIMEOUT = 20.0
"""Seconds; a camera computes for five."""

VALID_FOR = datetime.timedelta(days=825)
RENEW_BEFORE = datetime.timedelta(days=30)

logger = logging.getLogger("mailbell.smtp")


class Certificate:
    """A certificate and its key in PEM files: the user's own."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate = certificate
        self.key = key

    def stamp(self) -> tuple[int, ...]:
        """Changes when a file does."""
        return tuple(path.stat().st_mtime_ns for path in (self.certificate, self.key))

    def renew(self) -> None:
        """Do what there is to do against expiry: nothing, it is the user's."""


class TlsContext:
    """The server's side of TLS for one I/O server. It follows the certificate's files."""

    def __init__(self, certificate: Certificate, minimum: str) -> None:
        """StartupError when the certificate can't be used."""
        self._certificate = certificate
        self._minimum = minimum
        self._complaint = ""
        self._stamp: tuple[int, ...] = ()
        self._context = self._read()

    def current(self) -> ssl.SSLContext:
        """The context for a new handshake."""
        return self._context

    def following(self) -> ssl.SSLContext:
        """A context for a server that is given one for good: each handshake looks for the newest."""
        context = self._read()

        def choose(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            self.follow()
            connection.context = self._context

        context.sni_callback = choose
        return context

    def follow(self) -> None:
        """Read the certificate again when its files have changed; one that is no use leaves the last one."""
        try:
            self._certificate.renew()
            if self._certificate.stamp() != self._stamp:
                self._context = self._read()
                logger.info("%s: certificate read again", self._certificate.certificate)
            self._complaint = ""
        except (OSError, StartupError) as error:
            if str(error) != self._complaint:  # once, not every second
                logger.error("new certificate not used, the last one stays: %s", error)
            self._complaint = str(error)

    def _read(self) -> ssl.SSLContext:
        certificate, key = self._certificate.certificate, self._certificate.key
        context = _context(self._minimum)
        try:
            self._stamp = self._certificate.stamp()
            # With a password OpenSSL does not ask the terminal for the pass phrase of an encrypted key.
            context.load_cert_chain(certificate, key, password="")
        except OSError as error:  # ssl.SSLError is one
            raise StartupError(
                f"{certificate}: can't be used as a certificate with the key {key}: {_reason(error)}; "
                "both must be readable PEM files that belong together, the key without a pass phrase"
            ) from error
        return context


def _context(minimum: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with (
        warnings.catch_warnings()
    ):  # Python does not like versions below 1.2 either, but a user asked for them
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = VERSIONS[minimum]
    if minimum in ("1.0", "1.1"):  # OpenSSL 3 refuses their SHA-1 signatures from security level 1 up
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def explain(error: Exception) -> str:
    """Why a TLS connection failed: OpenSSL's reason, and what to do about it."""
    reason = _reason(error)
    remedy = next((remedy for sign, remedy in _REMEDIES.items() if sign in reason), "")
    return f"TLS failed ({reason}): {remedy}." if remedy else f"TLS failed: {reason}."


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return reason or type(error).__name__


_TRUST = (
    "install it there, give mailbell one that the client trusts "
    '(certificate, key), or set tls = "off" so that the client sends without TLS'
)
LEFT_AT_TLS = (
    f"The client left as soon as TLS was on, without a word; if it does not accept our certificate: {_TRUST}."
)
_REJECTED = f"the client did not accept our certificate; {_TRUST}"
_TOO_OLD = 'the client knows only old TLS; set tls_min = "1.0" on this I/O server'
_LEFT = f"the client left during the handshake; if it does not accept our certificate: {_TRUST}"
_REMEDIES = {
    "ALERT_UNKNOWN_CA": _REJECTED,
    "ALERT_BAD_CERTIFICATE": _REJECTED,
    "ALERT_CERTIFICATE": _REJECTED,
    "ALERT_UNSUPPORTED_CERTIFICATE": _REJECTED,
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "UNKNOWN_PROTOCOL": _TOO_OLD,
    "VERSION_TOO_LOW": _TOO_OLD,
    "NO_SHARED_CIPHER": _TOO_OLD,
    "NO_SHARED_SIGNATURE": _TOO_OLD,
    "NO_SUITABLE_SIGNATURE": _TOO_OLD,
    "ALERT_PROTOCOL_VERSION": "the client does not like our TLS versions; see tls_min of this I/O server",
    "WRONG_VERSION_NUMBER": "the client did not speak TLS; switch TLS or SSL on there, or let it send to a "
    'port with tls = "starttls"',
    "HTTP_REQUEST": "the client spoke HTTP; this is an SMTP server",
    "SSL handshake is taking longer": "the client did not finish the handshake in time; if it does not speak "
    'TLS from the start, let it send to a port with tls = "starttls"',
    "ConnectionResetError": _LEFT,
    "reset by peer": _LEFT,
    "EOF": _LEFT,
}


class SelfSigned(Certificate):
    """The certificate of the data folder, made when there is none, and again before it expires."""

    def __init__(self, folder: Path, hostname: str, clock: Clock) -> None:
        super().__init__(folder / "tls" / "certificate.pem", folder / "tls" / "key.pem")
        self._hostname = hostname
        self._clock = clock
        self._renew_at = float("-inf")
        self.renew()

    def renew(self) -> None:
        """Make it anew when it is about to expire, and where there is none that is any use."""
        now = datetime.datetime.fromtimestamp(self._clock.time(), datetime.UTC)
        if now.timestamp() < self._renew_at:
            return
        if (_expiry(self) or now) - RENEW_BEFORE <= now:
            _make(self, self._hostname, now)
        self._renew_at = ((_expiry(self) or now) - RENEW_BEFORE).timestamp()


def _expiry(pair: Certificate) -> datetime.datetime | None:
    """When it expires; None where there is none, or it is no use (a power cut between the two files)."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        key = load_pem_private_key(pair.key.read_bytes(), None)
    except (FileNotFoundError, ValueError):
        return None
    return certificate.not_valid_after_utc if certificate.public_key() == key.public_key() else None


def _make(pair: Certificate, hostname: str, now: datetime.datetime) -> None:
    """RSA, for devices that are too old for elliptic curves."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # devices' clocks are wrong
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectAlternativeName(_names(hostname)), critical=False)
        .sign(key, hashes.SHA256())
    )
    pair.key.parent.mkdir(mode=0o700, exist_ok=True)
    _write(
        pair.key,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    _write(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _names(hostname: str) -> "list[x509.GeneralName]":
    from cryptography import x509

    addresses = {"127.0.0.1", "::1"}
    with suppress(ValueError):  # a name, not an address
        addresses.add(str(ipaddress.ip_address(hostname)))
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in dict.fromkeys((hostname, "localhost"))]
    return names + [x509.IPAddress(ipaddress.ip_address(address)) for address in sorted(addresses)]


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, readable by us alone."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def certificate_of(
    settings: IoServerSettings | WebSettings, folder: Path, hostname: str, clock: Clock
) -> Certificate:
    """The user's own certificate, else that of the data folder."""
    if settings.certificate is not None and settings.key is not None:
        return Certificate(settings.certificate, settings.key)
    return SelfSigned(folder, hostname, clock)
