"""`[sinks.NAME]`: what a sink of each type has on top."""

import base64
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, field

from mailbell.settings.delivery import SinkSettings, TemplateText
from mailbell.settings.values import (
    CaPath,
    Count,
    Duration,
    HttpUrl,
    NatsUrl,
    PemPath,
    Port,
    PositiveDuration,
    PositiveSize,
    Size,
    is_url,
    together,
)


def _mqtt_url(value: str) -> None:
    if not is_url(value, "mqtt", "mqtts") or not re.fullmatch(r"mqtts?://[^\s/?#@]+/?", value):
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


MqttUrl = Annotated[str, Meta(extra={"check": _mqtt_url})]
Topic = Annotated[str, Meta(max_length=200, extra={"check": _topic})]
SomeUrl = Annotated[str, Meta(extra={"check": _some_url})]
WebhookKey = Annotated[str, Meta(extra={"check": _webhook_key})]
HeaderValue = Annotated[str, Meta(extra={"check": _header_value})]
ScriptPath = Annotated[Path, Meta(extra={"file": (".js", ".py", ".txt")})]


class ScriptSettings(SinkSettings, frozen=True, kw_only=True, tag_field="type", tag="script"):
    """A user's script: JavaScript, Python or an HSYCO EVENTS file, in a child process of its own."""

    max_in_flight: Annotated[Count, Meta(description="The most events handed to the sink at once.")] = 32
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
    headers: Annotated[dict[str, HeaderValue], Meta(description="Header fields of the request.")] = field(
        default_factory=dict
    )
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
        together(self.certificate, self.key)
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
