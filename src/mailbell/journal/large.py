"""Mail over the server's max_payload: its octets in the object store, in chunks, before the mail itself."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.errors import Error
from nats.js.errors import ObjectNotFoundError
from nats.js.object_store import ObjectStore

from mailbell.errors import JournalUnavailable, MailGone
from mailbell.journal.stream import Layout
from mailbell.remote.jetstream import JetStream

WITHIN = 60.0
"""Seconds for a whole object: 25 MiB over a slow link."""


class Large:
    """The object store."""

    def __init__(self, jetstream: JetStream, layout: Layout) -> None:
        self._jetstream = jetstream
        self._layout = layout

    def __repr__(self) -> str:
        return f"<Large {self._layout.large}>"

    async def put(self, name: str, raw: bytes) -> None:
        """Store, once the server has acknowledged every chunk."""
        async with self._store() as store:
            await store.put(name, raw)

    async def get(self, name: str) -> bytes:
        """The octets, whole and checked; MailGone where they are not there."""
        octets = _Octets()
        try:
            async with self._store() as store:
                await store.get(name, writeinto=octets)  # type: ignore[arg-type]  # it only writes
        except ObjectNotFoundError:
            raise MailGone(f"the octets of mail {name} are not in the object store") from None
        return b"".join(octets.parts)

    async def remove(self, name: str) -> None:
        """Remove, and leave no marker behind as the library would."""
        try:
            async with self._store() as store:
                info = await store.get_info(name)
        except ObjectNotFoundError:
            return
        await self._jetstream.purge(
            self._layout.objects, filter=f"$O.{self._layout.large}.M.{_encoded(name)}"
        )
        await self._jetstream.purge(self._layout.objects, filter=f"$O.{self._layout.large}.C.{info.nuid}")

    async def names(self) -> list[str]:
        """All that are whole."""
        prefix = f"$O.{self._layout.large}.M."
        found = await self._jetstream.subjects(self._layout.objects, f"{prefix}>")
        return [base64.urlsafe_b64decode(subject.removeprefix(prefix)).decode() for subject in found]

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[ObjectStore]:
        client = self._jetstream.link.client
        try:
            async with asyncio.timeout(WITHIN):
                yield ObjectStore(self._layout.large, self._layout.objects, client.jetstream())
        except ObjectNotFoundError:
            raise
        except TimeoutError:
            raise JournalUnavailable(f"the object store did not answer in {WITHIN:.0f} s") from None
        except (Error, OSError) as error:
            raise JournalUnavailable(f"the object store: {self._jetstream.link.mask(error)}") from None


class _Octets:
    """Takes what the library writes; its own way of adding chunks up copies all of them for each."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, part: bytes) -> None:
        self.parts.append(bytes(part))


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()
