"""`mailbell import`: mail of archives, into the journal of the running server."""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import click

from mailbell.cli.options import MANY, ask, bar, config_option, data_option
from mailbell.errors import MailbellError

if TYPE_CHECKING:
    from mailbell.cli.sources import Found
    from mailbell.mail import Mail

BATCH = 64
BATCH_OCTETS = 8 * 2**20
"""Of one request: they share commits."""

LEDGER = "imported"
_LINE = re.compile(rb"[0-9a-f]{32}")


class Ledger:
    """The IDs of all that was imported into a data folder, so that what is there already is left out."""

    def __init__(self, folder: Path) -> None:
        self._file: IO[bytes] = os.fdopen(
            os.open(folder / LEDGER, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+b"
        )
        self._file.seek(0)
        lines = self._file.read().split(b"\n")
        if lines[-1]:  # a kill has cut this one
            self._file.write(b"\n")
        self._known = {bytes.fromhex(line.decode()) for line in lines if _LINE.fullmatch(line)}

    def take(self, id_: str) -> bool:
        """Whether it is new; from here on it is not."""
        short = _short(id_)
        new = short not in self._known
        self._known.add(short)
        return new

    def note(self, ids: list[str]) -> None:
        """Write down that these are stored."""
        self._file.write("".join(f"{_short(each).hex()}\n" for each in ids).encode())
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@click.command("import")
@config_option
@data_option
@click.option(
    "--ioserver",
    metavar="ID",
    help="Take it as mail of this I/O server, so that sinks get it. Without, only the inbox does, and a "
    'sink whose match has ioserver = "import".',
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
def import_(config: Path | None, data: Path | None, ioserver: str | None, sources: tuple[str, ...]) -> None:
    """Import mail into the running server.

    SOURCE is a message, an mbox, a folder of these, a Maildir, the address of a Mailpit, such as
    http://127.0.0.1:8025, or the data folder of another mailbell, whose mail that a sink has not had yet
    goes to all sinks. Called again, it goes on where it was cut short; nothing is imported twice.
    """
    from mailbell.config import load
    from mailbell.mail import IMPORTED

    settings = load(config, data=data)
    if ioserver is not None and ioserver not in settings.ioservers:
        raise click.BadParameter(
            f"there is no I/O server {ioserver}; there is {', '.join(settings.ioservers)}",
            param_hint="--ioserver",
        )
    age = settings.journal.max_age
    earliest = int((time.time() - age) * 1000) if age else 0
    _Import(settings.data, ioserver or IMPORTED, earliest).run(sources)


class _Import:
    """One run, and what it has come to."""

    def __init__(self, folder: Path, ioserver: str, earliest: int) -> None:
        self._folder = folder
        self._ioserver = ioserver
        self._earliest = earliest
        self.done = self.known = self.old = 0

    def run(self, sources: tuple[str, ...]) -> None:
        ask(self._folder, "status")  # that no server runs is told before anything is read
        try:
            with Ledger(self._folder) as ledger:
                for source in sources:
                    self._take(source, ledger)
        finally:
            click.echo(self._about())

    def _take(self, source: str, ledger: Ledger) -> None:
        from mailbell.cli.datafolder import is_data_folder
        from mailbell.cli.sources import open_source

        length, found = open_source(source, self._ioserver)
        counted = source.startswith("http") or is_data_folder(Path(source))  # mails, not octets
        with bar("importing", length, many=1000 if counted else MANY) as progress:
            for batch in _batches(self._new(found, ledger, progress.update)):
                self._send(batch, ledger)

    def _new(
        self, found: "Iterator[tuple[int, Found]]", ledger: Ledger, progress: Callable[[int], None]
    ) -> "Iterator[Mail]":
        """Those that are to be imported, each fetched when its turn comes."""
        for part, each in found:
            if not ledger.take(each.id):
                self.known += 1
            elif (mail := each.load()).received_at < self._earliest:
                self.old += 1
            else:
                yield mail
            progress(part)

    def _send(self, batch: "list[Mail]", ledger: Ledger) -> None:
        import msgspec

        answer = ask(self._folder, "import", msgspec.msgpack.encode(batch))
        ledger.note(answer["stored"])
        self.done += len(answer["stored"])
        if answer["error"]:
            raise MailbellError(f"{answer['error']}; call it again to go on")

    def _about(self) -> str:
        parts = [f"{self.done} imported"]
        parts += [f"{self.known} were imported before"] if self.known else []
        if self.old:
            parts.append(f"{self.old} left out: older than max_age in [journal], retention would remove them")
        return "; ".join(parts)


def _batches(mails: "Iterator[Mail]") -> "Iterator[list[Mail]]":
    batch: list[Mail] = []
    octets = 0
    for mail in mails:
        batch.append(mail)
        octets += len(mail.raw)
        if len(batch) == BATCH or octets >= BATCH_OCTETS:
            yield batch
            batch, octets = [], 0
    if batch:
        yield batch


def _short(id_: str) -> bytes:
    return bytes.fromhex(id_.replace("-", ""))
