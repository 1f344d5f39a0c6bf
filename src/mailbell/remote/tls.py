"""TLS as a client."""

import ssl
from pathlib import Path

from mailbell.errors import SinkUnavailable


def client_context(
    ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """Trust the certificates of `ca`, or the machine's; SinkUnavailable names the file that can't be used."""
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one
        raise SinkUnavailable(f"ca: {ca} has no certificates in PEM: {error.strerror or error}") from error
    if certificate is None:
        return context
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        remedy = "certificate and key must be PEM and belong together"
        raise SinkUnavailable(f"{certificate}: {error.strerror or error}; {remedy}") from error
    return context
