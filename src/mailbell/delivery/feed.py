"""The feed: mail from the journal, converted once for all consumers."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping

from mailbell.event.convert import Converted, ConvertOptions, convert
from mailbell.journal.base import Journal
from mailbell.mail import Mail

KEEP_ITEMS = 4096
"""Under load sinks are a few thousand events apart, and one who asks for what is no longer kept converts it
again, which puts him back further still. Of a mail of 1 KB they are some 10 KB each.
"""
KEEP_OCTETS = 32 * 2**20
"""The most that they had on the wire; a text is in memory three or four times. The newest is kept always."""

SMALL = 64 * 1024
"""A mail of up to this many octets converts in well under a millisecond: on the loop. Others in a thread."""


class Feed:
    """Sequence in, converted mail out. Keeps the last ones, since every sink asks for the same."""

    def __init__(self, journal: Journal, options: Mapping[str, ConvertOptions]) -> None:
        self._journal = journal
        self._options = options
        self._kept: OrderedDict[int, Converted] = OrderedDict()
        self._octets = 0
        self._converting: dict[int, asyncio.Future[Converted]] = {}

    def use(self, options: Mapping[str, ConvertOptions]) -> None:
        """Convert with these from now on."""
        self._options = options
        self._kept.clear()
        self._octets = 0

    async def item(self, sequence: int) -> Converted:
        """The converted mail of this sequence; MailGone when retention has removed it."""
        if (kept := self._kept.get(sequence)) is not None:
            return kept
        mail = await self._journal.read(sequence)
        options = self._options.get(mail.ioserver, ConvertOptions())
        if len(mail.raw) > SMALL:
            return await self._convert_aside(sequence, mail, options)
        return self._kept.get(sequence) or self._keep(sequence, convert(mail, options))

    async def _convert_aside(self, sequence: int, mail: Mail, options: ConvertOptions) -> Converted:
        """In a thread, once for all who ask meanwhile."""
        converting = self._converting.get(sequence)
        if converting is None:
            converting = asyncio.get_running_loop().run_in_executor(None, _convert_whole, mail, options)
            self._converting[sequence] = converting
            converting.add_done_callback(lambda _: self._converting.pop(sequence))
        item = await asyncio.shield(converting)  # the cancellation of one who waits is not the others'
        return self._kept.get(sequence) or self._keep(sequence, item)

    def _keep(self, sequence: int, item: Converted) -> Converted:
        self._kept[sequence] = item
        self._octets += len(item.mail.raw)
        while len(self._kept) > 1 and (self._octets > KEEP_OCTETS or len(self._kept) > KEEP_ITEMS):
            _, oldest = self._kept.popitem(last=False)
            self._octets -= len(oldest.mail.raw)
        return item


def _convert_whole(mail: Mail, options: ConvertOptions) -> Converted:
    """Both forms at once, so that nothing is left to be done on the loop."""
    item = convert(mail, options)
    _ = item.event, item.value
    return item
