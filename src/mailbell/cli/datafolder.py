"""A data folder of the embedded engine as a source of mail: what moves to another node, or into a cluster."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from mailbell.errors import DataError
from mailbell.journal.files import explain, open_reader, starting
from mailbell.journal.mails import last_sequence, read_all
from mailbell.mail import IMPORTED, Mail
from mailbell.settings import INBOX, MONITOR

JOURNAL, DELIVERY = "journal.db", "delivery.db"


def is_data_folder(path: Path) -> bool:
    """Whether this is one."""
    return (path / JOURNAL).is_file()


def mails(folder: Path, ioserver: str) -> tuple[int, Iterator[Mail]]:
    """How many there are at most, and all of them in order; a server may be running on the folder.

    What every sink has had comes as mail of an archive, for it is no news; the rest as what it is, so that
    all sinks get it. With an `ioserver` all of it is that one's.
    """
    return last_sequence(folder / JOURNAL), _each(folder, ioserver)


def _each(folder: Path, ioserver: str) -> Iterator[Mail]:
    is_news = _news(folder / DELIVERY) if ioserver == IMPORTED else lambda _: False
    for sequence, mail in read_all(folder / JOURNAL, 0):
        yield mail if is_news(sequence) else msgspec.structs.replace(mail, ioserver=ioserver)


def _news(path: Path) -> Callable[[int], bool]:
    """Whether there is a sink that has not had an event; what was given up is no news."""
    if not path.is_file():
        return lambda _: False
    try:
        with starting(path), closing(open_reader(path)) as reader:
            floors = dict(reader.execute("select name, floor from consumer").fetchall())
            waiting = set(reader.execute("select consumer, sequence from waiting").fetchall())
            parked = set(reader.execute("select consumer, sequence from parked").fetchall())
    except sqlite3.Error as error:
        raise DataError(f"{path}: {explain(error, path)}") from error
    sinks = {name: floor for name, floor in floors.items() if name not in (MONITOR, INBOX)}

    def is_news(sequence: int) -> bool:
        return any(
            (name, sequence) in waiting or (sequence > floor and (name, sequence) not in parked)
            for name, floor in sinks.items()
        )

    return is_news
