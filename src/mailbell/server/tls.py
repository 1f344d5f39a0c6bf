"""TLS: the context of an I/O server, its certificate, and its reload when the files change."""

import datetime
import ipaddress
import os
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from mailbell.clock import Clock
from mailbell.errors import StartupError

if TYPE_CHECKING:
    from cryptography import x509

VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}

VALID_FOR = datetime.timedelta(days=825)
RENEW_BEFORE = datetime.timedelta(days=30)


class Certificate:
    """A certificate and its key in PEM files: the user's, or a self-signed pair made in the data folder."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate = certificate
        self.key = key

    def stamp(self) -> tuple[int, ...]:
        """Changes when a file does."""
        return tuple(path.stat().st_mtime_ns for path in (self.certificate, self.key))


class TlsContext:
    """The server's side of TLS for one I/O server. `current()` follows changes of the certificate's files."""

    def __init__(self, certificate: Certificate, minimum: str) -> None:
        self._certificate = certificate
        self._minimum = minimum
        self._stamp = certificate.stamp()
        self._context = _context(certificate, minimum)

    def reload_if_changed(self) -> bool:
        """Read the certificate again when its files have changed. StartupError leaves the old one in use."""
        stamp = self._certificate.stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self._context = _context(self._certificate, self._minimum)
        return True

    def current(self) -> ssl.SSLContext:
        """The context for a new handshake."""
        return self._context


def _context(certificate: Certificate, minimum: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[minimum]
    if minimum in ("1.0", "1.1"):  # OpenSSL 3 refuses their SHA-1 signatures from security level 1 up
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    try:
        context.load_cert_chain(certificate.certificate, certificate.key)
    except (OSError, ssl.SSLError) as error:
        raise StartupError(
            f"{certificate.certificate}: can't be used as a certificate with the key {certificate.key}: "
            f"{error.strerror or error}; both must be PEM files that belong together and have no pass phrase"
        ) from error
    return context


def explain(error: Exception) -> str:
    """Why a TLS connection failed: OpenSSL's reason, and what to do about it."""
    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
    for sign, remedy in _REMEDIES.items():
        if sign in reason:
            return f"TLS failed ({reason}): {remedy}."
    return f"TLS failed: {reason}."


_REJECTED = (
    "the client did not accept our certificate; install it there, give mailbell one that the client trusts "
    '(certificate, key), or set tls = "off"'
)
_TOO_OLD = 'the client knows only old TLS; set tls_min = "1.0" on this I/O server'
_REMEDIES = {
    "ALERT_UNKNOWN_CA": _REJECTED,
    "ALERT_BAD_CERTIFICATE": _REJECTED,
    "ALERT_CERTIFICATE": _REJECTED,
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "NO_SHARED_CIPHER": _TOO_OLD,
    "NO_SHARED_SIGNATURE": _TOO_OLD,
    "NO_SUITABLE_SIGNATURE": _TOO_OLD,
    "WRONG_VERSION_NUMBER": "the client did not speak TLS; choose TLS or SSL there, or STARTTLS here",
    "HTTP_REQUEST": "the client spoke HTTP; this is an SMTP server",
}


def self_signed(folder: Path, hostname: str, clock: Clock) -> Certificate:
    """Return the certificate of the data folder, made when there is none or it is about to expire."""
    pair = Certificate(folder / "tls" / "certificate.pem", folder / "tls" / "key.pem")
    now = datetime.datetime.fromtimestamp(clock.time(), datetime.UTC)
    if not _good_until(pair, now + RENEW_BEFORE):
        _make(pair, hostname, now)
    return pair


def _good_until(pair: Certificate, moment: datetime.datetime) -> bool:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    except FileNotFoundError:
        return False
    return pair.key.exists() and certificate.not_valid_after_utc > moment


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

    names: list[x509.GeneralName] = [x509.DNSName(hostname), x509.DNSName("localhost")]
    addresses = {"127.0.0.1", "::1", *_own_addresses(hostname)}
    return names + [x509.IPAddress(ipaddress.ip_address(address)) for address in sorted(addresses)]


def _own_addresses(hostname: str) -> set[str]:
    try:
        found = socket.getaddrinfo(hostname, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:  # a name, not an address: nothing to add, and nobody is asked
        return set()
    return {str(info[4][0]) for info in found}


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, readable by us alone."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
