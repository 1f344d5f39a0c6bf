"""`[journal]` and `[ha]`: where mail is kept, and what several nodes that share it do."""

import re
from typing import Annotated, Literal

from msgspec import Meta

from mailbell.settings.values import CaPath, Duration, PemPath, Settings, Size, nats_url, together

CLUSTERED = ("url", "user", "password", "token", "nkey", "credentials", "ca", "certificate", "key", "synced")


def _nats_urls(value: str) -> None:
    for each in value.split(","):
        nats_url(each.strip())


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
        together(self.certificate, self.key)
        ways = [name for name in ("user", "token", "nkey", "credentials") if getattr(self, name)]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)}: one way to log in is enough")
        if self.password and not self.user:
            raise ValueError("password needs user")

    @property
    def servers(self) -> tuple[str, ...]:
        """The URLs, each for itself."""
        return tuple(each.strip() for urls in self.url for each in urls.split(","))


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
