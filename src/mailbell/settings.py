"""Frozen settings, a struct for each room: what may be set, its default, its range and what it means.

No I/O here. `config.py` fills these from TOML; a test holds docs/settings.md to the descriptions. What a type
can't say stands in its `Meta.extra`, for config.py: `check`, a function that raises ValueError with what was
expected; `file`, the suffixes of a file that must exist.
"""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

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


def _probability(value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError("expected 0 to 1")


Probability = Annotated[float, Meta(extra={"check": _probability})]
Network = Annotated[str, Meta(extra={"check": _network})]
SourceNetwork = Annotated[str, Meta(extra={"check": _source})]
ErrorCode = Annotated[int, Meta(ge=400, le=599)]
PemPath = Annotated[Path, Meta(extra={"file": ()})]
Charset = Annotated[str, Meta(extra={"check": _charset})]
ScriptPath = Annotated[Path, Meta(extra={"file": (".js", ".py", ".txt")})]


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
        PemPath | None, Meta(description="The users file for `required`; `mailbell user add` writes it.")
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


class JournalSettings(Settings, frozen=True, kw_only=True):
    """The journal: where mail is kept until every sink has it, and for as long after as is asked for."""

    engine: Annotated[Literal["sqlite"], Meta(description="The storage engine.")] = "sqlite"
    max_age: Annotated[Duration, Meta(description="Delivered mail older than this is removed; 0: never.")] = (
        Duration(30 * 86400)
    )
    max_size: Annotated[
        Size, Meta(description="Delivered mail is removed, oldest first, above this size; 0: no limit.")
    ] = Size(10 * 2**30)


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


AnySink = ScriptSettings


class ServiceSettings(Settings, frozen=True, kw_only=True):
    """Everything: the whole TOML file."""

    data: Annotated[Path, Meta(description="The data folder: journal, logs, generated certificate.")] = Path(
        "mailbell-data"
    )
    ioservers: dict[str, IoServerSettings] = {}
    journal: JournalSettings = JournalSettings()
    log: LogSettings = LogSettings()
    memory: Annotated[
        PositiveSize,
        Meta(description="The most memory for messages on their way in; above it connections pause."),
    ] = Size(256 * 2**20)
    sinks: dict[str, AnySink] = {}
