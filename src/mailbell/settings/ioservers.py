"""`[ioservers.NAME]`: the SMTPSERVER I/O servers."""

from typing import Annotated, Literal

from msgspec import Meta

from mailbell.settings.values import (
    Count,
    Duration,
    IpAddress,
    Network,
    PemPath,
    Port,
    PositiveDuration,
    PositiveSize,
    Settings,
    Size,
    SourceNetwork,
    UsersPath,
    together,
)


def _charset(value: str) -> None:
    try:
        "a".encode(value)
    except (LookupError, ValueError):
        raise ValueError(
            'expected a charset that Python knows, such as "latin-1", "cp1252" or "gb18030"'
        ) from None


def _probability(value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError("expected 0 to 1")


Probability = Annotated[float, Meta(extra={"check": _probability})]
ErrorCode = Annotated[int, Meta(ge=400, le=599)]
Charset = Annotated[str, Meta(extra={"check": _charset})]


class ChaosRule(Settings, frozen=True, kw_only=True):
    """One kind of failure made on purpose."""

    code: Annotated[ErrorCode, Meta(description="The reply's code.")] = 451
    probability: Annotated[Probability, Meta(description="How often, from 0 to 1.")] = 0.0


class ChaosSettings(Settings, frozen=True, kw_only=True):
    """Failures on purpose, for those who test how their software takes them."""

    sender: Annotated[ChaosRule, Meta(description="MAIL is refused.")] = ChaosRule()
    recipient: Annotated[ChaosRule, Meta(description="RCPT is refused.")] = ChaosRule()
    authentication: Annotated[ChaosRule, Meta(description="AUTH is refused.")] = ChaosRule(code=535)
    data: Annotated[ChaosRule, Meta(description="The message is refused after the final dot.")] = ChaosRule()
    latency: Annotated[Duration, Meta(description="Every reply comes so much later.")] = Duration(0)
    drop: Annotated[
        Probability, Meta(description="How often the connection is cut instead of an answer to the message.")
    ] = 0.0


class IoServerSettings(Settings, frozen=True, kw_only=True):
    """One SMTPSERVER I/O server: a listening port and what is allowed on it."""

    type: Annotated[Literal["SMTPSERVER"], Meta(description="The kind of I/O server.")] = "SMTPSERVER"
    port: Annotated[Port, Meta(description="The listening port.")] = 25
    rawbody: Annotated[
        bool,
        Meta(description="true: `body` as it travelled; false: the first text/plain part, decoded."),
    ] = False
    startupevents: Annotated[
        bool,
        Meta(description="true: events flow as soon as a sink is up; false: when all are up or had 30 s to."),
    ] = False
    threads: Annotated[Count, Meta(description="The most connections served at once; others wait.")] = 4
    shutdown_when_inactive: Annotated[
        bool, Meta(description="High availability: close this server while the node is not the active one.")
    ] = False
    listen: Annotated[
        tuple[IpAddress, ...],
        Meta(min_length=1, description="The addresses to listen on; a family the machine lacks is skipped."),
    ] = ("0.0.0.0", "::")  # noqa: S104  HSYCO: on all network interfaces; `allow` is the guard
    allow: Annotated[
        tuple[SourceNetwork, ...],
        Meta(description='Who may connect: networks, or "private", "loopback", "any".'),
    ] = ("private",)
    proxies: Annotated[
        tuple[Network, ...],
        Meta(
            description="Load balancers that send a PROXY header (version 1 or 2) with the client's address."
        ),
    ] = ()
    tls: Annotated[
        Literal["off", "starttls", "implicit"],
        Meta(description="off, offered by STARTTLS, or from the first octet on."),
    ] = "starttls"
    tls_min: Annotated[
        Literal["1.0", "1.1", "1.2", "1.3"],
        Meta(description="The lowest TLS version; below 1.2 OpenSSL's security level is lowered, here only."),
    ] = "1.2"
    certificate: Annotated[
        PemPath | None,
        Meta(description="The certificate chain, PEM; none: a self-signed one in the data folder."),
    ] = None
    key: Annotated[PemPath | None, Meta(description="The certificate's private key, PEM.")] = None
    auth: Annotated[
        Literal["off", "any", "required"],
        Meta(
            description="off; any: whatever user and password are accepted; required: only those of `users`."
        ),
    ] = "any"
    users: Annotated[
        UsersPath | None, Meta(description="The users file for `required`; `mailbell user add` writes it.")
    ] = None
    auth_plaintext: Annotated[
        bool, Meta(description="true: `required` takes passwords on connections without TLS too.")
    ] = False
    bare_lf: Annotated[
        Literal["auto", "reject"],
        Meta(description="auto: devices that end their lines in LF are served; reject: they are refused."),
    ] = "auto"
    max_per_source: Annotated[Count, Meta(description="The most connections of one address.")] = 20
    min_rate: Annotated[
        Size,
        Meta(description="A message that comes with fewer octets a second, after 30 s, is cut; 0: never."),
    ] = Size(100)
    chaos: Annotated[ChaosSettings, Meta(description="Failures on purpose.")] = ChaosSettings()
    max_size: Annotated[PositiveSize, Meta(description="The largest message taken, in octets.")] = Size(
        25 * 2**20
    )
    max_recipients: Annotated[Count, Meta(description="The most recipients of one message.")] = 100
    max_errors: Annotated[Count, Meta(description="Bad commands on one connection before it is closed.")] = 20
    max_command: Annotated[int, Meta(ge=512, description="The longest command line, in octets.")] = 4096
    idle_timeout: Annotated[
        PositiveDuration,
        Meta(description="A connection that says nothing for so long is closed."),
    ] = Duration(300)
    data_timeout: Annotated[
        PositiveDuration,
        Meta(description="The longest that one message may take to come in."),
    ] = Duration(600)
    queue_timeout: Annotated[
        Duration, Meta(description="The longest that a connection waits for a slot.")
    ] = Duration(30)
    queue_length: Annotated[int, Meta(ge=0, description="The most connections that wait for a slot.")] = 1000
    hostname: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9._-]*$", description="The name in the greeting; empty: the machine's own."),
    ] = ""
    charset: Annotated[
        Charset,
        Meta(description="The charset tried for raw 8-bit text that is not UTF-8 and names no charset."),
    ] = "latin-1"

    def __post_init__(self) -> None:
        together(self.certificate, self.key)
        if self.tls == "off" and self.certificate is not None:
            raise ValueError('certificate and key are for TLS: set tls = "starttls", or remove them')
        if self.auth == "required" and self.users is None:
            raise ValueError('auth = "required" needs users, a file that `mailbell user add` makes')
        if self.auth != "required" and self.users is not None:
            raise ValueError('users is read only with auth = "required": set that, or remove users')
        if self.auth == "required" and self.tls == "off" and not self.auth_plaintext:
            raise ValueError(
                'auth = "required" with tls = "off" lets nobody in: '
                'set tls = "starttls", or auth_plaintext = true'
            )
