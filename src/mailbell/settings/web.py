"""`[web]`: the page and the API."""

import ipaddress
from typing import Annotated

from msgspec import Meta

from mailbell.settings.values import Duration, PemPath, PositiveDuration, Settings, UsersPath, together


def _web_listen(value: str) -> None:
    if value == "off":
        return
    host, _, port = value.rpartition(":")
    try:
        if host != "localhost":
            ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        good = port.isascii() and port.isdecimal() and 0 < int(port) < 65536
    except ValueError:
        good = False
    if not good or (":" in host and not host.startswith("[")):
        raise ValueError('expected an address and a port such as "127.0.0.1:8025" or "[::1]:8025", or "off"')


class WebSettings(Settings, frozen=True, kw_only=True):
    """The page and the API, over HTTP."""

    listen: Annotated[
        str, Meta(extra={"check": _web_listen}, description='Address and port to answer on, or "off".')
    ] = "127.0.0.1:8025"
    hosts: Annotated[
        tuple[str, ...],
        Meta(description="Names that it is reached by; addresses and the machine's own name need no entry."),
    ] = ()
    users: Annotated[
        UsersPath | None,
        Meta(description="Who may sign in: a users file, which `mailbell user` writes; none: nobody has to."),
    ] = None
    session: Annotated[PositiveDuration, Meta(description="How long one stays signed in.")] = Duration(
        7 * 86400
    )
    insecure: Annotated[
        bool,
        Meta(
            description="true: without `users`, `listen` may be open to other machines, which then read all."
        ),
    ] = False
    tls: Annotated[bool, Meta(description="true: HTTPS.")] = False
    certificate: Annotated[
        PemPath | None,
        Meta(description="The certificate chain, PEM; none: a self-signed one in the data folder."),
    ] = None
    key: Annotated[PemPath | None, Meta(description="The certificate's private key, PEM.")] = None

    def __post_init__(self) -> None:
        together(self.certificate, self.key)
        if self.certificate is not None and not self.tls:
            raise ValueError("certificate and key are for TLS: set tls = true, or remove them")
        if not (self.insecure or self.users or self.listen == "off" or is_loopback(self.listen)):
            raise ValueError(
                f'listen = "{self.listen}": whoever reaches this address could read all mail; give users, '
                "listen on 127.0.0.1, or write insecure = true"
            )


def is_loopback(listen: str) -> bool:
    """Whether only this machine reaches it."""
    host = listen.rpartition(":")[0].strip("[]")
    return host == "localhost" or ipaddress.ip_address(host).is_loopback
