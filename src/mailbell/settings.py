"""Frozen settings, a struct for each room: what may be set, its default, its range and what it means.

No I/O here. `config.py` fills these from TOML; a test holds docs/settings.md to the descriptions. What a type
can't say stands in its `Meta.extra`, for config.py: `check`, a function that raises ValueError with what was
expected; `file`, the suffixes of a file that must exist; `users`, that it is a users file.
"""

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SECONDS = {"": 1.0, "MS": 0.001, "S": 1.0, "M": 60.0, "MIN": 60.0, "H": 3600.0, "D": 86400.0}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?((?:[KMG]i?)?B|)", re.IGNORECASE)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|min|h|d|)")
_LARGEST = 10.0**15
"""Sizes and durations end somewhere, so that sums with them can't overflow: a petabyte, 30 million years."""


class Size(int):
    """A number of octets; written as a number or as text such as `25 MiB`."""

    expected = 'a size such as 1048576 or "25 MiB"'

    @classmethod
    def parse(cls, value: object) -> "Size":
        """Read a size; ValueError says what was expected."""
        return cls(_parse(value, _SIZE, _UNITS, cls.expected))


class Duration(float):
    """A number of seconds; written as a number or as text such as `30s`, `10 min`, `3d`."""

    expected = 'a duration such as 30 or "30s", "10 min", "3d"'

    @classmethod
    def parse(cls, value: object) -> "Duration":
        """Read a duration; ValueError says what was expected."""
        return cls(_parse(value, _DURATION, _SECONDS, cls.expected))


def _parse(value: object, pattern: re.Pattern[str], units: Mapping[str, float], expected: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LARGEST:
        return value
    found = pattern.fullmatch(value) if isinstance(value, str) else None
    number = float(found[1]) * units[found[2].upper()] if found else _LARGEST + 1
    if number > _LARGEST:
        raise ValueError(f"expected {expected}, got {value!r}")
    return number


def dec_hook(type_: type[Any], value: object) -> object:
    """Decode our own value types for msgspec."""
    if issubclass(type_, Size | Duration):
        return type_.parse(value)
    if issubclass(type_, Path) and isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"expected a path, got {value!r}")


def _positive(value: float) -> None:
    if value <= 0:
        raise ValueError("expected more than 0")


def _charset(value: str) -> None:
    try:
        "a".encode(value)
    except (LookupError, ValueError):
        raise ValueError(
            'expected a charset that Python knows, such as "latin-1", "cp1252" or "gb18030"'
        ) from None


def _ip_address(value: str) -> None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise ValueError('expected an IP address such as "0.0.0.0", "192.168.1.5" or "::"') from None


Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
PositiveSize = Annotated[Size, Meta(extra={"check": _positive})]
PositiveDuration = Annotated[Duration, Meta(extra={"check": _positive})]
IpAddress = Annotated[str, Meta(extra={"check": _ip_address})]


def _network(value: str) -> None:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(
            'expected "private", "loopback", "any", or a network such as "192.168.1.0/24"'
        ) from None


def _source(value: str) -> None:
    if value not in ("private", "loopback", "any"):
        _network(value)


def _url(example: str, *schemes: str) -> Callable[[str], None]:
    """Make the check that a URL has one of these schemes and a host."""

    def check(value: str) -> None:
        try:
            url = urlsplit(value)
            good = url.scheme in schemes and url.hostname and url.port != 0
        except ValueError:
            good = False
        if not good or re.search(r"[\x00-\x20\x7f]", value):
            raise ValueError(f'expected a URL such as "{example}"')

    return check


def _mqtt_url(value: str) -> None:
    try:
        url = urlsplit(value)
        good = url.scheme in ("mqtt", "mqtts") and url.hostname and url.port != 0
    except ValueError:
        good = False
    if not good or not re.fullmatch(r"mqtts?://[^\s/?#@]+/?", value):
        raise ValueError('expected a broker such as "mqtt://host" or "mqtts://host:8883"')


def _topic(value: str) -> None:
    if not re.fullmatch(r"[^+#$\x00-\x1f\x7f-\x9f][^+#\x00-\x1f\x7f-\x9f]*", value) or "" in value.split("/"):
        raise ValueError('expected a topic such as "mailbell" or "house/mail", without + and #')


def _some_url(value: str) -> None:
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value):
        raise ValueError('expected a URL such as "scheme://host"')


def _webhook_key(value: str) -> None:
    try:
        size = len(base64.b64decode(value.removeprefix("whsec_"), validate=True))
    except ValueError:
        size = 0
    if not value.startswith("whsec_") or not 24 <= size <= 64:
        raise ValueError('expected "whsec_" and the base64 of 24 to 64 octets')


def _header_value(value: str) -> None:
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        raise ValueError("expected text without line breaks and control characters")


def _probability(value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError("expected 0 to 1")


Probability = Annotated[float, Meta(extra={"check": _probability})]
Network = Annotated[str, Meta(extra={"check": _network})]
HttpUrl = Annotated[str, Meta(extra={"check": _url("https://host/path", "http", "https")})]
MqttUrl = Annotated[str, Meta(extra={"check": _mqtt_url})]
Topic = Annotated[str, Meta(max_length=200, extra={"check": _topic})]
SomeUrl = Annotated[str, Meta(extra={"check": _some_url})]
_NATS_URL = _url("nats://host:4222", "nats", "tls")
NatsUrl = Annotated[str, Meta(extra={"check": _NATS_URL})]
WebhookKey = Annotated[str, Meta(extra={"check": _webhook_key})]
HeaderValue = Annotated[str, Meta(extra={"check": _header_value})]
SourceNetwork = Annotated[str, Meta(extra={"check": _source})]
ErrorCode = Annotated[int, Meta(ge=400, le=599)]
PemPath = Annotated[Path, Meta(extra={"file": ()})]
UsersPath = Annotated[Path, Meta(extra={"users": True})]
Charset = Annotated[str, Meta(extra={"check": _charset})]
ScriptPath = Annotated[Path, Meta(extra={"file": (".js", ".py", ".txt")})]
CaPath = Annotated[
    PemPath | None,
    Meta(description="Certificates to trust, PEM, instead of the machine's; a self-signed one itself."),
]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all settings structs."""


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
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: give both, or none")
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


def _nats_urls(value: str) -> None:
    for each in value.split(","):
        _NATS_URL(each.strip())


def _subject_token(value: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", value):
        raise ValueError("expected up to 60 of A-Z, a-z, 0-9, _ and -")


def _lease(value: float) -> None:
    if not 1 <= value <= 3600:
        raise ValueError('expected "1s" to "1h"')


NatsUrls = Annotated[str, Meta(extra={"check": _nats_urls})]
SubjectToken = Annotated[str, Meta(extra={"check": _subject_token})]


class JournalSettings(Settings, frozen=True, kw_only=True):
    """The journal: where mail is kept until every sink has it, and for as long after as is asked for."""

    engine: Annotated[
        Literal["sqlite", "jetstream"],
        Meta(description="sqlite: files in the data folder; jetstream: a stream that several nodes share."),
    ] = "sqlite"
    url: Annotated[
        tuple[NatsUrls, ...],
        Meta(description="jetstream: NATS servers, `nats://host:port` or `tls://…`; a list, or with commas."),
    ] = ()
    stream: Annotated[
        SubjectToken,
        Meta(description="The stream's name, and what those beside it and all subjects start with."),
    ] = "MAILBELL"
    replicas: Annotated[
        Literal[1, 3, 5],
        Meta(description="How many NATS servers hold each mail; one is lost with its server."),
    ] = 3
    synced: Annotated[
        bool,
        Meta(description="true: with one replica, the server has `sync_interval: always`; no warning then."),
    ] = False
    user: Annotated[str, Meta(description="The NATS user; empty: none.")] = ""
    password: Annotated[str, Meta(description="The user's password.")] = ""
    token: Annotated[str, Meta(description="The token, for servers that ask for one.")] = ""
    nkey: Annotated[PemPath | None, Meta(description="A file with the seed of an NKey.")] = None
    credentials: Annotated[
        PemPath | None, Meta(description="A credentials file (JWT and seed), as nsc makes it.")
    ] = None
    ca: CaPath = None
    certificate: Annotated[PemPath | None, Meta(description="The client's certificate chain, PEM.")] = None
    key: Annotated[PemPath | None, Meta(description="The client's private key, PEM.")] = None
    max_age: Annotated[Duration, Meta(description="Delivered mail older than this is removed; 0: never.")] = (
        Duration(30 * 86400)
    )
    max_size: Annotated[
        Size, Meta(description="Delivered mail is removed, oldest first, above this size; 0: no limit.")
    ] = Size(10 * 2**30)

    def __post_init__(self) -> None:
        clustered = self.engine == "jetstream"
        given = [each for each in CLUSTERED if getattr(self, each)]
        if not clustered and given:
            raise ValueError(f'{", ".join(given)}: only with engine = "jetstream"')
        if clustered and not self.url:
            raise ValueError('engine = "jetstream" needs url, such as url = "nats://host:4222"')
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: give both, or none")
        ways = [name for name in ("user", "token", "nkey", "credentials") if getattr(self, name)]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)}: one way to log in is enough")
        if self.password and not self.user:
            raise ValueError("password needs user")

    @property
    def servers(self) -> tuple[str, ...]:
        """The URLs, each for itself."""
        return tuple(each.strip() for urls in self.url for each in urls.split(","))


CLUSTERED = ("url", "user", "password", "token", "nkey", "credentials", "ca", "certificate", "key", "synced")


class HaSettings(Settings, frozen=True, kw_only=True):
    """High availability, with `engine = "jetstream"`: who delivers, and when another takes over."""

    mode: Annotated[
        Literal["active-standby", "all-active"],
        Meta(description="One node delivers and the others stand by, or all share the work."),
    ] = "active-standby"
    lease: Annotated[
        Duration,
        Meta(
            extra={"check": _lease},
            description="A node that is not heard of for so long is no longer active; another takes over.",
        ),
    ] = Duration(10)
    node: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_-]{0,60}$",
            description="This node's name, its own among the nodes; empty: the machine's.",
        ),
    ] = ""


class LogSettings(Settings, frozen=True, kw_only=True):
    """The log: a file a day in the data folder, and the terminal."""

    format: Annotated[
        Literal["hsyco", "json"],
        Meta(description="How a line looks: HSYCO's format, or one JSON object a line."),
    ] = "hsyco"
    terminal: Annotated[bool, Meta(description="Write the log to the terminal too.")] = True
    keep: Annotated[Duration, Meta(description="Log files older than this are removed; 0: never.")] = (
        Duration(90 * 86400)
    )


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
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: give both, or none")
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


def _pattern(value: str) -> None:
    if value.startswith("re:"):
        import regex

        try:
            regex.compile(value[3:])
        except regex.error as error:
            raise ValueError(f"not a regular expression: {error}") from None


Patterns = tuple[Annotated[str, Meta(extra={"check": _pattern})], ...]
TemplateText = Annotated[str, Meta(extra={"template": True})]
"""Format fields over the full event (event/template.py); `config.py` checks it."""


class MatchSettings(Settings, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Which events a sink gets: all that is given must hold; of several values any.

    Values are globs without regard to case (`*@cameras.lan`), or regular expressions after `re:`.
    """

    ioserver: Annotated[Patterns, Meta(description="The I/O server's ID.")] = ()
    from_: Annotated[Patterns, Meta(description="The envelope's sender.")] = ()
    to: Annotated[Patterns, Meta(description="Any of the envelope's recipients.")] = ()
    subject: Annotated[Patterns, Meta(description="The subject.")] = ()
    text: Annotated[Patterns, Meta(description="The text; a glob has to match all of it: `*alarm*`.")] = ()
    source: Annotated[tuple[SourceNetwork, ...], Meta(description="The client's network.")] = ()
    auth_user: Annotated[Patterns, Meta(description="The user that the client gave.")] = ()
    header: Annotated[
        dict[str, Patterns], Meta(description='Header fields by name: header.x-priority = ["1*"].')
    ] = {}
    has_attachment: Annotated[bool | None, Meta(description="Whether there is an attachment.")] = None
    attachment_type: Annotated[
        Patterns, Meta(description="The content type, declared or detected, of any attachment: `image/*`.")
    ] = ()


class CooldownSettings(Settings, frozen=True, kw_only=True):
    """The first event of a kind goes out; the rest of the window are counted in the next one."""

    key: Annotated[TemplateText, Meta(description="What makes events of one kind, a template.")] = (
        "{source.ip}/{envelope.rcpt_to[0]}"
    )
    every: Annotated[PositiveDuration, Meta(description="The window that the first event opens.")] = Duration(
        60
    )


class SinkSettings(Settings, frozen=True, kw_only=True):
    """What every sink has."""

    max_in_flight: Annotated[Count, Meta(description="The most events handed to the sink at once.")] = 16
    ordered: Annotated[
        bool, Meta(description="true: an event waits until the one before it is delivered or parked.")
    ] = False
    retry_for: Annotated[Duration, Meta(description="How long an event is retried before it is parked.")] = (
        Duration(3 * 86400)
    )
    match: Annotated[MatchSettings, Meta(description="Which events the sink gets; all when left out.")] = (
        MatchSettings()
    )
    cooldown: Annotated[
        CooldownSettings | None, Meta(description="Lets one event of a kind through in a window of time.")
    ] = None
    dedupe: Annotated[
        Duration, Meta(description="The same mail again within so long is left out; 0: never.")
    ] = Duration(0)

    def describe(self) -> str:
        """For the first lines of `serve`, and the repr; shows no secret."""
        return str(self.__struct_config__.tag)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.describe()}>"


class ScriptSettings(SinkSettings, frozen=True, kw_only=True, tag_field="type", tag="script"):
    """A user's script: JavaScript, Python or an HSYCO EVENTS file, in a child process of its own."""

    path: Annotated[ScriptPath, Meta(description="The script: .js, .py, or an EVENTS file .txt.")]
    time_limit: Annotated[PositiveDuration, Meta(description="A callback that runs longer is killed.")] = (
        Duration(10)
    )
    memory_limit: Annotated[
        PositiveSize,
        Meta(description="The most memory that the script's process may have."),
    ] = Size(256 * 2**20)

    def describe(self) -> str:
        """For the first lines of `serve`."""
        return f"script {self.path}"


class CommandSettings(SinkSettings, frozen=True, kw_only=True, tag_field="type", tag="command"):
    """A program, run for each event: the event on its standard input, fields in MAILBELL_* variables."""

    argv: Annotated[
        tuple[str, ...], Meta(min_length=1, description="The program and its arguments; there is no shell.")
    ]
    folder: Annotated[
        Path | None,
        Meta(description="The working directory, where a relative program is too; none: the server's."),
    ] = None
    input: Annotated[
        Literal["full", "hsyco", "raw"],
        Meta(
            description="On standard input: the event in its full form, in HSYCO's, or the mail as received."
        ),
    ] = "full"
    time_limit: Annotated[
        PositiveDuration, Meta(description="A run that takes longer is killed, with all that it has started.")
    ] = Duration(30)

    def describe(self) -> str:
        return f"command {self.argv[0]}"  # an argument may be a password


class PayloadSettings(SinkSettings, frozen=True, kw_only=True):
    """What sinks have that send the event as JSON over a network."""

    attachments: Annotated[
        Literal["none", "url", "inline"],
        Meta(
            description="What each attachment of the full form has too: a `url`, or its `content` in base64."
        ),
    ] = "none"
    inline_max: Annotated[
        Size,
        Meta(
            description="The most octets of attachments in one event; what goes beyond has null as `content`."
        ),
    ] = Size(2**20)
    page: Annotated[
        HttpUrl | None,
        Meta(description='Where the receiver reaches mailbell\'s page, for `attachments = "url"`.'),
    ] = None

    def __post_init__(self) -> None:
        if self.attachments == "url" and self.page is None:
            raise ValueError('attachments = "url" needs page, such as page = "http://mailbell.lan:8025"')


class WebhookSettings(PayloadSettings, frozen=True, kw_only=True, tag_field="type", tag="webhook"):
    """An HTTP server that gets a POST for each event."""

    url: Annotated[HttpUrl, Meta(description="Where to post; user and password in it are for HTTP Basic.")]
    body: Annotated[
        Literal["full", "hsyco", "cloudevents", "cloudevents-binary"],
        Meta(
            description="The event in its full form, in HSYCO's, or in full as a CloudEvent of either mode."
        ),
    ] = "full"
    secrets: Annotated[
        tuple[WebhookKey, ...],
        Meta(
            description="Keys of the Standard Webhooks signature, `whsec_…`; two while one replaces another."
        ),
    ] = ()
    headers: Annotated[dict[str, HeaderValue], Meta(description="Header fields of the request.")] = {}
    ca: CaPath = None
    timeout: Annotated[
        PositiveDuration, Meta(description="Without an answer after so long, the event is tried again.")
    ] = Duration(10)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.headers:
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
                raise ValueError(f"{name!r} in headers is no name of a header field")
            if name.lower() in ("content-length", "transfer-encoding"):
                raise ValueError(f"{name} in headers is for the HTTP client to set")

    def describe(self) -> str:
        url = urlsplit(self.url)  # path and query are often the secret of a webhook
        return f"webhook {url.scheme}://{url.netloc.rpartition('@')[2]}"


class SmtpSettings(SinkSettings, frozen=True, kw_only=True, tag_field="type", tag="smtp"):
    """Another mail server, which gets the mail as it was received."""

    host: Annotated[str, Meta(min_length=1, description="The mail server.")]
    port: Annotated[Port | None, Meta(description="Its port; none: 25, or 465 for implicit TLS.")] = None
    tls: Annotated[
        Literal["off", "starttls", "implicit"],
        Meta(description="off, by STARTTLS, or from the first octet on."),
    ] = "starttls"
    ca: CaPath = None
    user: Annotated[str, Meta(description="For AUTH; empty: without.")] = ""
    password: Annotated[str, Meta(description="For AUTH.")] = ""
    mail_from: Annotated[
        TemplateText | None, Meta(description="The envelope's sender, a template; none: the mail's own.")
    ] = None
    rcpt_to: Annotated[
        tuple[TemplateText, ...],
        Meta(description="The envelope's recipients, templates; none: the mail's own."),
    ] = ()
    hostname: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9._-]*$", description="The name in EHLO; empty: the machine's own.")
    ] = ""
    timeout: Annotated[
        PositiveDuration, Meta(description="The longest that each of the server's replies may take.")
    ] = Duration(60)

    def describe(self) -> str:
        return f"smtp {self.host}:{self.port or (465 if self.tls == 'implicit' else 25)}, TLS {self.tls}"


class AppriseSettings(SinkSettings, frozen=True, kw_only=True, tag_field="type", tag="apprise"):
    """Notification services, over a hundred of them, by Apprise: `pip install "mailbell[apprise]"`."""

    urls: Annotated[tuple[SomeUrl, ...], Meta(min_length=1, description="Apprise's URLs, one a service.")]
    title: Annotated[TemplateText, Meta(description="The title, a template.")] = "{subject}"
    body: Annotated[
        TemplateText,
        Meta(description="The text, a template; services refuse or cut what is too long for them."),
    ] = "{text:.1000}"
    images: Annotated[bool, Meta(description="Attached images go along.")] = True
    timeout: Annotated[
        PositiveDuration, Meta(description="Without success after so long, the event is tried again.")
    ] = Duration(30)

    def describe(self) -> str:
        return f"apprise {', '.join(url.partition('://')[0] for url in self.urls)}"


class NatsSettings(PayloadSettings, frozen=True, kw_only=True, tag_field="type", tag="nats"):
    """A NATS server: each event is published to a subject."""

    servers: Annotated[
        tuple[NatsUrl, ...],
        Meta(min_length=1, description="`nats://host:port` or `tls://…`, any of a cluster."),
    ]
    subject: Annotated[
        TemplateText,
        Meta(
            description="The subject, a template; in what a field brings `.`, `*`, `>` and blanks become `_`."
        ),
    ] = "mailbell.{ioserver}.mail"
    body: Annotated[
        Literal["full", "hsyco"], Meta(description="The event in its full form, or in HSYCO's.")
    ] = "full"
    jetstream: Annotated[
        bool, Meta(description="true: delivered when a stream has stored it; false: when the server has it.")
    ] = True
    user: Annotated[str, Meta(description="The user; empty: none.")] = ""
    password: Annotated[str, Meta(description="The user's password.")] = ""
    token: Annotated[str, Meta(description="The token, for servers that ask for one.")] = ""
    ca: CaPath = None
    certificate: Annotated[PemPath | None, Meta(description="The client's certificate chain, PEM.")] = None
    key: Annotated[PemPath | None, Meta(description="The client's private key, PEM.")] = None
    timeout: Annotated[
        PositiveDuration,
        Meta(description="Without an acknowledgement after so long, the event is tried again."),
    ] = Duration(5)

    def __post_init__(self) -> None:
        super().__post_init__()
        if re.search(r"[\s*>]|^\.|\.\.|\.$", re.sub(r"\{[^}]*\}", "_", self.subject)):
            raise ValueError("subject has no blanks, no * and >, and no empty part between its dots")

    def describe(self) -> str:
        return f"nats {', '.join(url.rpartition('@')[2].rpartition('//')[2] for url in self.servers)}"


class MqttSettings(PayloadSettings, frozen=True, kw_only=True, tag_field="type", tag="mqtt"):
    """An MQTT broker, and through it Home Assistant. All is published at QoS 1."""

    max_in_flight: Annotated[Count, Meta(description="The most events handed to the sink at once.")] = 32
    url: Annotated[
        MqttUrl, Meta(description="The broker: `mqtt://host`, or `mqtts://host` with TLS; a port may follow.")
    ] = "mqtt://127.0.0.1"
    user: Annotated[str, Meta(description="The user; empty: none.")] = ""
    password: Annotated[str, Meta(description="The user's password.")] = ""
    ca: CaPath = None
    certificate: Annotated[PemPath | None, Meta(description="The client's certificate chain, PEM.")] = None
    key: Annotated[PemPath | None, Meta(description="The client's private key, PEM.")] = None
    client_id: Annotated[
        str,
        Meta(max_length=200, description="The client identifier; empty: one of our own, new at each start."),
    ] = ""
    version: Annotated[
        Literal["3.1.1", "5"],
        Meta(description="The protocol. With 3.1.1 a broker can't say that it has refused an event."),
    ] = "5"
    prefix: Annotated[Topic, Meta(description="What all topics start with.")] = "mailbell"
    device: Annotated[
        TemplateText,
        Meta(description="The topic's second level and the device in Home Assistant, a template."),
    ] = "{envelope.rcpt_to[0].local}"
    retain: Annotated[
        bool, Meta(description="true: the broker keeps the topics `last` and `image` for who comes later.")
    ] = True
    max_packet: Annotated[
        PositiveSize,
        Meta(description="The largest packet; an image above it is left out, an event shortened."),
    ] = Size(2_000_000)
    timeout: Annotated[
        PositiveDuration,
        Meta(description="A broker that acknowledges nothing for so long has hung; we connect anew."),
    ] = Duration(30)
    homeassistant: Annotated[
        bool, Meta(description="true: devices show up in Home Assistant by themselves.")
    ] = False
    discovery_prefix: Annotated[Topic, Meta(description="Home Assistant's discovery prefix.")] = (
        "homeassistant"
    )
    off_delay: Annotated[
        PositiveDuration, Meta(description="Motion ends in Home Assistant so long after the last mail.")
    ] = Duration(30)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: give both, or none")
        if self.password and not self.user:
            raise ValueError("password needs user")
        if not self.url.startswith("mqtts:") and (self.ca or self.certificate):
            raise ValueError('ca, certificate and key are for TLS: write url = "mqtts://…"')

    def describe(self) -> str:
        return f"mqtt {self.url}, topics {self.prefix}/…"


AnySink = (
    ScriptSettings
    | CommandSettings
    | WebhookSettings
    | SmtpSettings
    | AppriseSettings
    | NatsSettings
    | MqttSettings
)


MONITOR, INBOX = "io", "inbox"
"""Consumers of the journal that are no sinks. A sink of that name would share its events with one."""


class ServiceSettings(Settings, frozen=True, kw_only=True):
    """Everything: the whole TOML file."""

    data: Annotated[Path, Meta(description="The data folder: journal, logs, generated certificate.")] = Path(
        "mailbell-data"
    )
    ioservers: dict[str, IoServerSettings] = {}
    journal: JournalSettings = JournalSettings()
    ha: HaSettings = HaSettings()
    log: LogSettings = LogSettings()
    web: WebSettings = WebSettings()
    memory: Annotated[
        PositiveSize,
        Meta(description="The most memory for messages on their way in; above it connections pause."),
    ] = Size(256 * 2**20)
    processes: Annotated[
        Literal[1, 2],
        Meta(
            description="2: delivering has a process of its own, and never holds up SMTP; 1: less memory, "
            "for a small box."
        ),
    ] = 2
    sinks: dict[str, AnySink] = {}

    def __post_init__(self) -> None:
        if self.journal.engine == "sqlite" and self.ha != HaSettings():
            raise ValueError(
                '[ha] is for several nodes that share a journal: set journal.engine = "jetstream"'
            )
        if taken := self.sinks.keys() & {MONITOR, INBOX}:
            raise ValueError(f"sinks.{min(taken)}: this name is that of a part of mailbell; choose another")
        ordered = [name for name, each in self.sinks.items() if each.ordered]
        if self.ha.mode == "all-active" and ordered:
            raise ValueError(
                f'sinks.{ordered[0]}: ordered = true needs ha.mode = "active-standby": '
                "with all-active, several nodes deliver at once"
            )

    @property
    def consumers(self) -> list[str]:
        """The names of the journal's consumers, of which each gets every event."""
        inbox = [] if self.web.listen == "off" else [INBOX]
        return [MONITOR, *inbox, *self.sinks]
