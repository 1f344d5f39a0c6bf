"""JetStream's API, as far as it is needed: JSON over requests, each answered soon or failing."""

import base64
import binascii
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from mailbell.errors import MailbellError
from mailbell.remote.nats import NatsLink, NatsUnavailable, NobodyThere

PREFIX = "$JS.API"
WITHIN = 5.0
"""Seconds for an answer."""

SERVICE_UNAVAILABLE = 503
NO_MESSAGE = 10037
NOTHING_TO_DELETE = (NO_MESSAGE, 10043, 10057)  # as the versions of the server say it
NO_STREAM = 10059
NO_CONSUMER = 10014
WRONG_LAST = (10071, 10164)
FULL = (10002, 10023, 10047, 10077)
NO_JETSTREAM = (10039, 10076)
NO_PEERS = (10005, 10074)


class JetStreamError(MailbellError):
    """The server refuses, with this error code."""

    def __init__(self, error_code: int, description: str, *, passing: bool = False) -> None:
        super().__init__(f"JetStream: {description} ({error_code})")
        self.error_code = error_code
        self.description = description
        self.passing = passing
        """It may be otherwise in a moment: no leader, for one."""


class Ack(msgspec.Struct, frozen=True):
    """The message is in the stream, with this sequence; `duplicate`: it was so before, by its id."""

    seq: int
    duplicate: bool = False


class State(msgspec.Struct, frozen=True):
    """What is in a stream. `deleted` are sequences between the first and the last."""

    messages: int
    bytes: int
    first_seq: int
    last_seq: int
    deleted: list[int] = []
    subjects: dict[str, int] = {}


class StreamInfo(msgspec.Struct, frozen=True):
    """A stream. `created` tells it from one of the same name that came after it was deleted."""

    config: dict[str, Any]
    state: State
    created: str
    total: int = 0
    """How many subjects there are, of which `state` has a page."""


class Place(msgspec.Struct, frozen=True):
    """A place in a stream."""

    stream_seq: int


class ConsumerInfo(msgspec.Struct, frozen=True):
    """A durable consumer: how far it has come, and what is unanswered."""

    config: dict[str, Any]
    delivered: Place
    ack_floor: Place
    num_ack_pending: int


class Stored(msgspec.Struct, frozen=True):
    """A message as it is in a stream."""

    seq: int
    data: bytes


class _Raw(msgspec.Struct, frozen=True):
    seq: int
    data: str = ""


class JetStream:
    """The calls. NatsUnavailable: no answer; JetStreamError: this is refused."""

    def __init__(self, link: NatsLink) -> None:
        self.link = link

    def __repr__(self) -> str:
        return f"<JetStream over {self.link}>"

    async def ask(self, subject: str, body: object = None, *, within: float = WITHIN) -> bytes:
        """Call the API; the JSON of the answer."""
        payload = b"" if body is None else msgspec.json.encode(body)
        try:
            answer = await self.link.request(f"{PREFIX}.{subject}", payload, within=within)
        except NobodyThere:
            where = f"nats {self.link.options.addresses}"
            remedy = "add jetstream { store_dir: … } to the server's settings"
            raise NobodyThere(f"{where}: JetStream is not enabled there, or not for us: {remedy}") from None
        _raise(answer.data)
        return answer.data

    async def publish(
        self,
        subject: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        within: float = WITHIN,
    ) -> Ack:
        """Store a message."""
        answer = await self.link.request(subject, body, headers, within=within)
        _raise(answer.data)
        return msgspec.json.decode(answer.data, type=Ack)

    async def stream(self, name: str, *, deleted: bool = False, within: float = WITHIN) -> StreamInfo | None:
        """What there is of a stream of this name; None when there is none."""
        body = {"deleted_details": True} if deleted else None
        found = await self._ask_for(f"STREAM.INFO.{name}", body, missing=(NO_STREAM,), within=within)
        return None if found is None else msgspec.json.decode(found, type=StreamInfo)

    async def subjects(self, name: str, pattern: str) -> dict[str, int]:
        """The subjects of a stream that fit, and how many messages each has; all pages of them."""
        found: dict[str, int] = {}
        while True:
            body = {"subjects_filter": pattern, "offset": len(found)}
            page = msgspec.json.decode(await self.ask(f"STREAM.INFO.{name}", body), type=StreamInfo)
            found |= page.state.subjects
            if not page.state.subjects or len(found) >= page.total:
                return found

    async def create_stream(self, config: Mapping[str, object]) -> StreamInfo:
        """Make a stream."""
        made = await self.ask(f"STREAM.CREATE.{config['name']}", config)
        return msgspec.json.decode(made, type=StreamInfo)

    async def consumer(self, stream: str, name: str) -> ConsumerInfo | None:
        """What there is of a durable consumer."""
        found = await self._ask_for(f"CONSUMER.INFO.{stream}.{name}", missing=(NO_CONSUMER, NO_STREAM))
        return None if found is None else msgspec.json.decode(found, type=ConsumerInfo)

    async def create_consumer(self, stream: str, config: Mapping[str, object]) -> ConsumerInfo:
        """Make a durable consumer, or give the one that there is these settings."""
        name = config["durable_name"]
        made = await self.ask(
            f"CONSUMER.DURABLE.CREATE.{stream}.{name}", {"stream_name": stream, "config": config}
        )
        return msgspec.json.decode(made, type=ConsumerInfo)

    async def delete_consumer(self, stream: str, name: str) -> None:
        """Remove a consumer, if there is one."""
        await self._ask_for(f"CONSUMER.DELETE.{stream}.{name}", missing=(NO_CONSUMER,))

    async def get(self, stream: str, sequence: int) -> Stored | None:
        """The message of this sequence.

        Any server that has it answers; that it is not there is only believed of the one that leads: another
        may be behind.
        """
        return await self._direct(stream, sequence) or await self._get(stream, {"seq": sequence})

    async def last(self, stream: str, subject: str) -> Stored | None:
        """The newest message of a subject, from the server that leads."""
        return await self._get(stream, {"last_by_subj": subject})

    async def delete(self, stream: str, sequence: int) -> None:
        """Remove a message, if it is there."""
        what = {"seq": sequence, "no_erase": True}
        await self._ask_for(f"STREAM.MSG.DELETE.{stream}", what, missing=NOTHING_TO_DELETE)

    async def purge(self, stream: str, **what: object) -> None:
        """Remove messages: up to before `seq`, or those whose subject fits `filter`."""
        await self.ask(f"STREAM.PURGE.{stream}", what)

    async def _ask_for(
        self, subject: str, body: object = None, *, missing: Collection[int], within: float = WITHIN
    ) -> bytes | None:
        """Call the API; None where it answers, with one of these codes, that there is no such thing."""
        try:
            return await self.ask(subject, body, within=within)
        except JetStreamError as error:
            if error.error_code in missing:
                return None
            raise

    async def _direct(self, stream: str, sequence: int) -> Stored | None:
        try:
            answer = await self.link.request(
                f"{PREFIX}.DIRECT.GET.{stream}", b'{"seq":%d}' % sequence, within=WITHIN
            )
        except NatsUnavailable:
            return None
        headers = answer.headers or {}
        if not _is(headers.get("Nats-Sequence"), str(sequence)):
            return None
        return Stored(sequence, answer.data)

    async def _get(self, stream: str, which: Mapping[str, object]) -> Stored | None:
        answer = await self._ask_for(f"STREAM.MSG.GET.{stream}", which, missing=(NO_MESSAGE, 10038))
        if answer is None:
            return None
        raw = msgspec.json.decode(answer, type=_Message).message
        try:
            return Stored(raw.seq, base64.b64decode(raw.data))
        except binascii.Error as error:
            raise JetStreamError(0, f"message {raw.seq} of {stream}: {error}") from None


def _is(found: object, expected: str) -> bool:
    """Whether a field of the header is this; some servers give it twice."""
    return found == expected or (isinstance(found, list) and expected in found)


class _Message(msgspec.Struct, frozen=True):
    message: _Raw


class _Refused(msgspec.Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct, frozen=True):
    error: _Refused | None = None


def _raise(answer: bytes) -> None:
    """Raise the error that an answer is, if it is one."""
    try:
        error = msgspec.json.decode(answer, type=_Answer).error
    except msgspec.DecodeError:
        raise JetStreamError(0, f"an answer that is none: {answer[:100]!r}") from None
    if error is not None:
        raise JetStreamError(error.err_code, error.description, passing=error.code == SERVICE_UNAVAILABLE)
