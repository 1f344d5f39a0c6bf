"""Where mail is imported from: files, folders, mboxes and Maildirs, and programs that speak Mailpit's API."""

import base64
import calendar
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from mailbell.cli import archive, datafolder
from mailbell.cli.mailfiles import find, split_apart
from mailbell.errors import DataError
from mailbell.event.convert import ConvertOptions, convert
from mailbell.event.date import rfc3339
from mailbell.event.schema import MailEvent
from mailbell.mail import Envelope, Mail, Source, derived_id

LATEST = 2**45
"""Milliseconds; what a clock says behind it, in the year 3084, is no time that a mail came."""

PAGE = 500
TIMEOUT = 60.0
UNKNOWN = Source("0.0.0.0", 0, "import")  # noqa: S104  an address that is none

_SEPARATOR = re.compile(rb"From (\S*) +(.*\S)\s*")
_IN_MAILDIR = re.compile(r"(\d{9,11})\.")
_RECIPIENTS = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to")


class Found(NamedTuple):
    """A mail that can be imported: its ID, its place for people, and how to get it."""

    id: str
    place: str
    load: Callable[[], Mail]


def open_source(source: str, ioserver: str) -> tuple[int, Iterator[tuple[int, Found]]]:
    """Return the length of a source, and what is in it, each with its part of that length."""
    if source.startswith(("http://", "https://")):
        return _api(source, ioserver)
    if datafolder.is_data_folder(Path(source)):
        count, mails = datafolder.mails(Path(source), ioserver)
        return count, ((1, Found(mail.id, source, _here(mail))) for mail in mails)
    paths = find([Path(source)])
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None or not paths:
        raise DataError(
            f"{missing or source}: no mail there: a file, a folder, an mbox or a Maildir is needed"
        )
    return sum(path.stat().st_size for path in paths), _files(paths, ioserver)


def _files(paths: Sequence[Path], ioserver: str) -> Iterator[tuple[int, Found]]:
    for path in paths:
        notes = _notes(path)
        with path.open("rb") as stream:
            for number, (separator, raw) in enumerate(split_apart(stream)):
                note = notes[number] if number < len(notes) else None
                mail = _noted(note, raw) if note else _read(path, separator, raw)
                mail = msgspec.structs.replace(mail, ioserver=ioserver)
                yield len(raw), Found(mail.id, f"{path} {number + 1}", _here(mail))


def _here(mail: Mail) -> Callable[[], Mail]:
    return lambda: mail


def _notes(path: Path) -> list[archive.Note]:
    """What our own export has noted of the mails of a file."""
    of_mbox = path.with_name(f"{path.name}.jsonl")
    if of_mbox.is_file():
        return _index(of_mbox).get(path.name, [])
    for folder in (path.parent, path.parent.parent):
        if (folder / archive.NAME).is_file():
            return _index(folder / archive.NAME).get(path.relative_to(folder).as_posix(), [])
    return []


@lru_cache(maxsize=4)
def _index(path: Path) -> dict[str, list[archive.Note]]:
    notes: dict[str, list[archive.Note]] = {}
    try:
        for line in path.read_bytes().split(b"\n")[:-1]:
            note = archive.decode(line)
            notes.setdefault(note.file, []).append(note)
    except msgspec.MsgspecError as error:
        raise DataError(f"{path}: not an index that `mailbell export` has written: {error}") from error
    return notes


def _noted(note: archive.Note, raw: bytes) -> Mail:
    return Mail(note.id, note.received_at, note.ioserver, note.source, note.envelope, raw)


def _read(path: Path, separator: bytes, raw: bytes) -> Mail:
    """As much as the mail itself, and its file, can say."""
    event = convert(Mail("", 0, "", UNKNOWN, Envelope("", ()), raw), ConvertOptions()).event
    sender, when = _separated(separator)
    fields = {each.name.lower(): each.value for each in reversed(event.headers)}
    at = when or _named(path) or _dated(event, fields) or path.stat().st_mtime
    milliseconds = int(at * 1000) if 0 < at * 1000 < LATEST else int(path.stat().st_mtime * 1000)
    return Mail(
        derived_id(milliseconds, raw), milliseconds, "", UNKNOWN, _envelope(event, fields, sender), raw
    )


def _separated(separator: bytes) -> tuple[str, float]:
    """Sender and time of an mbox's `From ` line; "" and 0 for what it does not say."""
    found = _SEPARATOR.fullmatch(separator)
    if found is None:
        return "", 0.0
    try:
        when = calendar.timegm(time.strptime(found[2].decode("ascii", "replace"), "%a %b %d %H:%M:%S %Y"))
    except (ValueError, OverflowError):
        when = 0
    sender = found[1].decode("ascii", "replace")
    return "" if sender in ("-", "MAILER-DAEMON") else sender, when


def _named(path: Path) -> float:
    """The time in the name of a Maildir's file."""
    found = _IN_MAILDIR.match(path.name)
    return float(found[1]) if found and path.parent.name in ("cur", "new") else 0.0


def _dated(event: MailEvent, fields: dict[str, str]) -> float:
    """When the last server had it, else when it was written."""
    received = rfc3339(fields.get("received", "").rpartition(";")[2].strip())
    date = received or event.date
    return 0.0 if date is None else datetime.fromisoformat(date).timestamp()


def _envelope(event: MailEvent, fields: dict[str, str], sender: str) -> Envelope:
    path = fields.get("return-path", "").strip(" <>")
    mail_from = path or sender or (event.from_.address if event.from_ else "")
    given = [each.value.strip(" <>") for each in event.headers if each.name.lower() in _RECIPIENTS]
    recipients = given or [each.address for each in (*event.to, *event.cc)]
    return Envelope(mail_from, tuple(dict.fromkeys(filter(None, recipients))))


def _api(url: str, ioserver: str) -> tuple[int, Iterator[tuple[int, Found]]]:
    """Mailpit's API: the oldest first. Nothing is marked as read there."""
    summaries: list[dict[str, Any]] = []
    while page := json.loads(_get(url, f"messages?limit={PAGE}&start={len(summaries)}"))["messages"]:
        summaries += page
    found = {each["ID"]: each for each in reversed(summaries)}  # new ones have moved the pages
    return len(found), ((1, _of_api(url, each, ioserver)) for each in found.values())


def _of_api(url: str, summary: dict[str, Any], ioserver: str) -> Found:
    id_ = summary["ID"]
    at = int(datetime.fromisoformat(summary["Created"]).timestamp() * 1000)
    key = derived_id(at, f"{urlsplit(url).hostname} {id_}".encode())
    people = [each for name in ("To", "Cc", "Bcc") for each in summary[name] or ()]
    sender = (summary["From"] or {}).get("Address", "")
    envelope = Envelope(sender, tuple(dict.fromkeys(each["Address"] for each in people)))
    return Found(
        key,
        f"{id_} of {urlsplit(url).hostname}",
        lambda: Mail(key, at, ioserver, UNKNOWN, envelope, _get(url, f"message/{quote(id_, '')}/raw")),
    )


def _get(url: str, path: str) -> bytes:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    base = urlunsplit((parts.scheme, host, parts.path.rstrip("/").removesuffix("/api/v1"), "", ""))
    request = urllib.request.Request(f"{base}/api/v1/{path}")  # noqa: S310  http or https, see open_source
    if parts.username is not None:
        login = f"{parts.username}:{parts.password or ''}".encode()
        request.add_header("Authorization", f"Basic {base64.b64encode(login).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            content: bytes = answer.read()
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{base}/api/v1: {reason}; the address of a program with Mailpit's API is needed"
        ) from error
    return content
