"""What has arrived at a server under test: kept, waited for, and shown where something else was expected."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Self

import msgspec

from mailbell.delivery.match import Match
from mailbell.errors import NotReceived
from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.event.schema import MailEvent
from mailbell.journal.base import Claim, Journal
from mailbell.server.transcript import Transcript, Transcripts
from mailbell.settings import MatchSettings

FETCH = 64
SHOWN = 20
"""How many mails, and how many connections, a failure lists: the last ones."""


class Received(MailEvent, frozen=True, kw_only=True, eq=False):
    """The full event of a mail (docs/event.schema.json), and the mail itself."""

    item: Converted

    def __repr__(self) -> str:
        to = ", ".join(self.envelope.rcpt_to)
        return f"<Received {self.subject!r} from {self.envelope.mail_from} to {to}>"

    @property
    def octets(self) -> bytes:
        """The message as it travelled."""
        return self.item.mail.raw

    def message(self) -> EmailMessage:
        """The message as the standard library reads it."""
        return message_from_bytes(self.octets, policy=policy.default)

    def content(self, index: int = 0) -> bytes:
        """The octets of an attachment, decoded; IndexError when there is none with this index."""
        return self.item.attachment(index)


class Wanted:
    """Which mail is waited for: the `count`th for which all that is given holds."""

    def __init__(
        self, given: Mapping[str, str], where: Callable[[Received], object] | None, count: int
    ) -> None:
        self.count = count
        self._given = given
        self._where = where
        patterns = {name.removesuffix("_"): [value] for name, value in given.items()}
        self._match = Match(msgspec.convert(patterns, MatchSettings))

    def __str__(self) -> str:
        parts = [f"{name}={value!r}" for name, value in self._given.items()]
        parts += ["where"] if self._where is not None else []
        parts += [f"count={self.count}"] if self.count > 1 else []
        return f"mail with {', '.join(parts)}" if parts else "mail"

    def find(self, received: list[Received]) -> Received | None:
        """The one that is wanted, if it has come."""
        found = (each for each in received if self._match(each.item) and self._holds(each))
        return next((each for number, each in enumerate(found, 1) if number == self.count), None)

    def _holds(self, received: Received) -> bool:
        return self._where is None or bool(self._where(received))


class Arrivals:
    """A consumer of the journal that keeps all it gets. For the server's loop."""

    def __init__(self, journal: Journal, transcripts: Transcripts) -> None:
        self._journal = journal
        self._transcripts = transcripts
        self._received: list[Received] = []
        self._seen = 0
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        consumer = await self._journal.consumer("testing")
        self._seen = consumer.position

        async def read() -> None:
            while True:
                for claim in await consumer.fetch(FETCH):
                    await self._take(claim)
                    consumer.ack(claim)

        self._reading = asyncio.create_task(read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])

    async def all(self) -> list[Received]:
        """Return all of them; every mail that has had its 250 is among them."""
        last = self._journal.last_sequence
        while self._seen < last:
            await self._change()
        return list(self._received)

    async def wait(self, wanted: Wanted, timeout: float) -> Received:  # noqa: ASYNC109  says what did arrive
        """Return the mail that is wanted; NotReceived when it does not come within so many seconds."""
        try:
            async with asyncio.timeout(timeout):
                while (found := wanted.find(self._received)) is None:
                    await self._change()
                return found
        except TimeoutError:
            lines = [f"no {wanted} within {timeout:g} s", *self._others(), *self._failed()]
            raise NotReceived("\n".join(lines)) from None

    async def clear(self) -> None:
        """Forget them."""
        await self.all()
        self._received.clear()

    async def _take(self, claim: Claim) -> None:
        item = convert(await self._journal.read(claim.sequence), ConvertOptions())
        event = {field: getattr(item.event, field) for field in MailEvent.__struct_fields__}
        self._received.append(Received(item=item, **event))
        self._seen = claim.sequence
        self._news.set()

    async def _change(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _others(self) -> Iterator[str]:
        count = len(self._received)
        yield "nothing arrived" if not count else f"{count} other mail{'s'[: count > 1]} arrived:"
        for each in self._received[-SHOWN:]:
            yield f"  {each!r}"

    def _failed(self) -> Iterator[str]:
        failed = [each for each in self._transcripts if each.ended_at is not None and not each.mails]
        if failed:
            yield f"{len(failed)} connection{'s'[: len(failed) > 1]} brought no mail:"
        for each in failed[:SHOWN][::-1]:
            yield from _shown(each)


def _shown(transcript: Transcript) -> Iterator[str]:
    yield f"  {transcript.ip} port {transcript.port}: {transcript.outcome}"
    for line in transcript.lines:
        yield f"    {line.mark} {line.text}"
