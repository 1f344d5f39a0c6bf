"""Make a data folder with this version's program: `python -m tests.data.make`, once for each release.

tests/e2e/test_upgrade.py runs the current program on each of these folders.
"""

import asyncio
import tempfile
from pathlib import Path

from mailbell import __version__
from mailbell.app import App
from mailbell.delivering import Delivering
from mailbell.journal.backup import backup
from mailbell.mail import Envelope, Mail, Source, Tls, new_id
from mailbell.settings import IoServerSettings, ServiceSettings, WebSettings

BEGAN = 1_790_000_000_000


def mail(number: int) -> Mail:
    """Of one a minute; the last one is not ASCII, and came over TLS from somebody who logged in."""
    tls = Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384") if number == 6 else None
    source = Source("192.0.2.1", 49152, "camera", "user" if tls else None, tls)
    at = BEGAN + number * 60_000
    raw = f"Subject: number {number}\r\nX-Tags: camera\r\n\r\nMotion at gate {number}, caffè\r\n".encode()
    return Mail(new_id(at), at, "smtp", source, Envelope("cam@lan", ("gate@lan",)), raw)


async def make(folder: Path) -> None:
    """Six mails: 1 and 2 delivered to `note`, 3 parked, 4 waits for its next try, 5 and 6 are new to it.

    In the inbox the first is read and tagged, the second was deleted.
    """
    settings = ServiceSettings(
        data=folder,
        ioservers={"smtp": IoServerSettings(port=0, listen=("127.0.0.1",), tls="off")},
        web=WebSettings(listen="127.0.0.1:0"),
    )
    async with App(settings, embedded=True) as app:
        half = app.delivering
        assert isinstance(half, Delivering)
        journal, inbox = half.journal, half.inbox
        assert inbox is not None
        note = await journal.consumer("note")
        for number in range(1, 7):
            await journal.append(mail(number))
        one, two, three, four = await note.fetch(4)
        note.ack(one)
        note.ack(two)
        note.park(three, "no such room")
        note.retry(four, 4e9, "busy")
        while (page := await inbox.page()).count < 6:  # noqa: ASYNC110  once, by hand
            await asyncio.sleep(0.01)
        ids = [entry.summary.id for entry in reversed(page.entries)]
        await inbox.set_tags(ids[:1], ["kept"])
        await inbox.set_read(ids[:1], True)
        await inbox.delete(ids[1:2])
        monitor = await journal.consumer("io")
        while monitor.lag:  # noqa: ASYNC110  once, by hand
            await asyncio.sleep(0.01)


def main() -> None:
    """Write tests/data/VERSION."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(make(Path(folder)))
        backup(Path(folder), Path(__file__).parent / __version__, lambda _: None)


if __name__ == "__main__":
    main()
