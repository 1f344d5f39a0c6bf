"""The feed: mail from the journal, converted once for all consumers."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping

from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.journal.base import Journal

KEEP_ITEMS = 1024
KEEP_OCTETS = 64 * 2**20

SMALL = 64 * 1024
"""A mail of up to this many octets converts in well under a millisecond: on the loop. Others in a thread."""


class Feed:
    """Sequence in, converted mail out. Keeps the last ones, since every sink asks for the same."""

    def __init__(self, journal: Journal, options: Mapping[str, ConvertOptions]) -> None:
        self._journal = journal
        self._options = options
        self._kept: OrderedDict[int, Converted] = OrderedDict()
        self._octets = 0
        self._loading: dict[int, asyncio.Task[Converted]] = {}

    async def item(self, sequence: int) -> Converted:
        """The converted mail of this sequence; MailGone when retention has removed it."""
        if (kept := self._kept.get(sequence)) is not None:
            return kept
        loading = self._loading.get(sequence)
        if loading is None:
            loading = asyncio.get_running_loop().create_task(self._load(sequence))
            self._loading[sequence] = loading
            loading.add_done_callback(lambda _: self._loading.pop(sequence))
        return await asyncio.shield(loading)  # the cancellation of one who waits is not the others'

    async def _load(self, sequence: int) -> Converted:
        mail = await self._journal.read(sequence)
        options = self._options.get(mail.ioserver, ConvertOptions())
        item = (
            convert(mail, options)
            if len(mail.raw) <= SMALL
            else await asyncio.to_thread(convert, mail, options)
        )
        self._keep(sequence, item)
        return item

    def _keep(self, sequence: int, item: Converted) -> None:
        self._kept[sequence] = item
        self._octets += len(item.mail.raw)
        while self._octets > KEEP_OCTETS or len(self._kept) > KEEP_ITEMS:
            _, oldest = self._kept.popitem(last=False)
            self._octets -= len(oldest.mail.raw)
