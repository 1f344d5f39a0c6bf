"""What of mailbell is in JetStream: the names, the form of a mail, and whether what is there will do.

```
stream MAILBELL          MAILBELL.mail, MAILBELL.large.<name>   the mail; a consumer of it for each sink
stream MAILBELL_STATE    MAILBELL.again.<consumer>.<sequence>   what waits for a retry: one message an event
                         MAILBELL.parked.<consumer>.<sequence>.<ms>   what was given up
object store MAILBELL_LARGE   what is over the server's max_payload
key-value bucket MAILBELL_LEASE   who is active (mailbell.lease.jetstream)
```
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from mailbell.errors import JournalUnavailable, StartupError
from mailbell.mail import Envelope, Mail, Source
from mailbell.remote.jetstream import NO_JETSTREAM, NO_PEERS, JetStream, JetStreamError, StreamInfo
from mailbell.remote.nats import NatsLink, NatsOptions, NatsUnavailable, NobodyThere
from mailbell.settings import JournalSettings

DUPLICATE_WINDOW = 120.0
"""Seconds in which the same message id counts as the same mail."""

DESCRIPTION = "mailbell's journal, version 1"

DELAYS = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Seconds before each try to connect again."""

START_PATIENCE = 30.0
START_PAUSE = 1.0
"""Seconds for which a start waits for servers that are not there yet, and between the tries."""

T = TypeVar("T")

logger = logging.getLogger("mailbell.journal")


class TooFewPeers(NatsUnavailable):
    """A cluster that has just been started has not heard of all its servers yet; or has not so many."""


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """A mail without its octets: the first line of the message. `large`: where those are instead."""

    id: str
    received_at: int
    ioserver: str
    source: Source
    envelope: Envelope
    size: int
    large: str | None = None


_decode = msgspec.json.Decoder(Meta).decode


def encode(mail: Mail, large: str | None = None) -> bytes:
    """The message: a line of JSON, then the octets, unless they are elsewhere.

    JournalUnavailable for what JSON can't say.
    """
    meta = Meta(mail.id, mail.received_at, mail.ioserver, mail.source, mail.envelope, len(mail.raw), large)
    try:
        line = msgspec.json.encode(meta)
    except ValueError as error:
        raise JournalUnavailable(f"mail {mail.id} can't be stored: {error}") from error
    return line + b"\n" + (b"" if large else mail.raw)


def decode(body: bytes) -> tuple[Meta, bytes]:
    """The mail and, where it is inside, its octets."""
    line, _, raw = body.partition(b"\n")
    try:
        return _decode(line), raw
    except msgspec.MsgspecError as error:
        raise JournalUnavailable(f"a message of the stream is none of mailbell's: {error}") from error


def whole(meta: Meta, raw: bytes) -> Mail:
    """The mail again."""
    return Mail(meta.id, meta.received_at, meta.ioserver, meta.source, meta.envelope, raw)


class Layout:
    """The names of all that belongs to one journal."""

    def __init__(self, name: str, replicas: int) -> None:
        self.mail = name
        self.replicas = replicas
        self.state = f"{name}_STATE"
        self.large = f"{name}_LARGE"
        self.objects = f"OBJ_{self.large}"
        self.subject = f"{name}.mail"
        self.answered = f"{name}.answered"

    def __repr__(self) -> str:
        return f"<Layout {self.mail}>"

    def large_subject(self, object_name: str) -> str:
        """Of a mail that is in the object store: so it is known which objects are needed."""
        return f"{self.mail}.large.{object_name}"

    def again(self, consumer: str, sequence: object) -> str:
        """Of an event that waits."""
        return f"{self.mail}.again.{consumer}.{sequence}"

    def parked(self, consumer: str, sequence: object, milliseconds: object) -> str:
        """Of an event that was given up, at this time."""
        return f"{self.mail}.parked.{consumer}.{sequence}.{milliseconds}"

    def streams(self) -> list[dict[str, object]]:
        """What the streams are to be."""
        common = {"storage": "file", "num_replicas": self.replicas, "allow_direct": True, "discard": "new"}
        mail = {
            "name": self.mail,
            "description": DESCRIPTION,
            "subjects": [self.subject, self.large_subject("*")],
            "retention": "limits",
            "duplicate_window": int(DUPLICATE_WINDOW * 1e9),
        }
        state = {
            "name": self.state,
            "description": DESCRIPTION,
            "subjects": [self.again("*", "*"), self.parked("*", "*", "*")],
            "retention": "workqueue",
            "max_msgs_per_subject": 1,
            "discard": "old",
        }
        large = {
            "name": self.objects,
            "description": DESCRIPTION,
            "subjects": [f"$O.{self.large}.C.>", f"$O.{self.large}.M.>"],
            "retention": "limits",
            "allow_rollup_hdrs": True,
        }
        return [{**common, **each} for each in (mail, state, large)]


def options(settings: JournalSettings) -> NatsOptions:
    """How to connect."""
    return NatsOptions(
        servers=settings.servers,
        user=settings.user,
        password=settings.password,
        token=settings.token,
        nkey=settings.nkey,
        credentials=settings.credentials,
        ca=settings.ca,
        certificate=settings.certificate,
        key=settings.key,
    )


async def connect(who: str, settings: JournalSettings, patience: float = START_PATIENCE) -> NatsLink:
    """A connection; StartupError when there is none to be had for so long."""
    link = NatsLink(who, options(settings), DELAYS)
    await until_there(link.start, patience)
    return link


async def until_there(work: Callable[[], Awaitable[T]], patience: float) -> T:
    """Try for so long; StartupError with the last reason."""
    now = asyncio.get_running_loop().time
    until, said = now() + patience, ""
    while True:
        try:
            return await work()
        except NatsUnavailable as error:
            what = f"journal: {error}{_remedy(error)}"
            if now() + START_PAUSE >= until:
                raise StartupError(what) from None
            if what != said:
                said = what
                logger.error("%s. Trying for %.0f s", what, until - now())
        await asyncio.sleep(START_PAUSE)


def _remedy(error: NatsUnavailable) -> str:
    if isinstance(error, NobodyThere | TooFewPeers):  # these have one of their own
        return ""
    return "; see that the server runs, and journal.url and the login are right"


async def asked(call: Awaitable[T]) -> T:
    """What a call brings; JournalUnavailable where it fails."""
    try:
        return await call
    except (NatsUnavailable, JetStreamError) as error:
        raise JournalUnavailable(str(error)) from None


async def prepare(jetstream: JetStream, layout: Layout) -> StreamInfo:
    """Make what is missing; the stream of the mail. StartupError when what is there will not do."""
    first, *others = [await _have(jetstream, layout, each) for each in layout.streams()]
    for info in (first, *others):
        for problem in shortcomings(info, layout):
            raise StartupError(problem)
    return first


def there(info: StreamInfo, after: int, until: int) -> Iterator[int]:
    """The sequences in `after < sequence <= until` whose mail is there; `info` has the deleted ones."""
    deleted = set(info.state.deleted)
    span = range(max(after + 1, info.state.first_seq), min(until, info.state.last_seq) + 1)
    return (sequence for sequence in span if sequence not in deleted)


async def inspect(jetstream: JetStream, layout: Layout) -> list[str]:
    """What is wrong with what is there, a line each; makes nothing."""
    if layout.replicas > 1 and not jetstream.link.clustered:
        where = jetstream.link.options.addresses
        remedy = "start more servers, or set replicas = 1"
        return [f"journal.replicas = {layout.replicas}, and nats {where} is no cluster; {remedy}"]
    found = [await jetstream.stream(str(each["name"])) for each in layout.streams()]
    return [line for info in found if info is not None for line in shortcomings(info, layout)]


def shortcomings(info: StreamInfo, layout: Layout) -> Iterator[str]:
    """Why this stream is of no use."""
    config = info.config
    name = config["name"]
    wanted = next(each for each in layout.streams() if each["name"] == name)
    where = f"journal.stream: the stream {name}"
    if config.get("description") != DESCRIPTION:
        version = str(config.get("description", "")).startswith(DESCRIPTION[:-1])
        why = "is of another version of mailbell" if version else "is not one of mailbell's"
        yield f"{where} {why}; choose another name, or move that stream out of the way"
        return
    for key in ("subjects", "retention", "storage", "max_msgs_per_subject"):
        expected = wanted.get(key, -1)
        if config.get(key, -1) != expected:
            yield f"{where} has {key} {config.get(key)}, and {expected} is needed; nats stream edit {name}"
    for key in ("sealed", "deny_delete", "deny_purge", "no_ack", "mirror", "sources"):
        if config.get(key):
            yield f"{where} has {key}, which takes what a journal needs; make it without"
    if config["num_replicas"] < layout.replicas:
        yield (
            f"{where} has {config['num_replicas']} replicas, and journal.replicas asks for "
            f"{layout.replicas}; nats stream edit {name} --replicas {layout.replicas}"
        )


def cautions(config: Mapping[str, Any], settings: JournalSettings) -> Iterator[str]:
    """What works, but is less than one may think, of the stream of the mail."""
    if config["num_replicas"] == 1 and not settings.synced:
        yield (
            f"the stream {config['name']} has one replica: unless its server has sync_interval: always, it "
            "answers before the mail is on the disk, and a power cut can lose mail that got its 250; "
            "set that on the server and synced = true in [journal], or replicas = 3 on three servers"
        )
    if config.get("discard") == "old" and any(config.get(key, -1) > 0 for key in ("max_msgs", "max_bytes")):
        yield f"the stream {config['name']} drops its oldest mail when it is full, delivered or not"
    if config.get("max_age", 0) > 0:
        yield f"the stream {config['name']} has a max_age: older mail goes, delivered or not"


async def _have(jetstream: JetStream, layout: Layout, config: dict[str, object]) -> StreamInfo:
    name = str(config["name"])
    try:
        return await jetstream.stream(name) or await jetstream.create_stream(config)
    except JetStreamError as error:
        if error.error_code in NO_JETSTREAM:
            remedy = "add jetstream { store_dir: … } to the server's settings"
            why = f"JetStream is not enabled there, or not for us: {remedy}"
        elif error.error_code in NO_PEERS and jetstream.link.clustered:
            where = jetstream.link.options.addresses
            raise TooFewPeers(
                f"journal.replicas = {layout.replicas}, and nats {where} sees fewer servers in the cluster "
                f"({error.description}); start more, or set replicas = 1"
            ) from None
        elif error.error_code in NO_PEERS:
            why = (
                f"journal.replicas = {layout.replicas}, and there are not so many servers in the cluster "
                f"({error.description}); start more, or set replicas = 1"
            )
        elif error.passing:
            raise NatsUnavailable(f"nats {jetstream.link.options.addresses}: {error}") from None
        else:
            why = f"the stream {name} can't be had: {error}"
        raise StartupError(f"journal: nats {jetstream.link.options.addresses}: {why}") from None
