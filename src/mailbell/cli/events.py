"""`mailbell events`: the last events of the running server, and those that come."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from mailbell.cli.options import counted, folder_option
from mailbell.errors import MailbellError

AGAIN = 1.0
"""Seconds until a server that has gone is asked again."""


@click.command()
@folder_option
@click.option(
    "--follow", is_flag=True, help="Go on with those that come, until Ctrl-C; across restarts of the server."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["human", "full", "hsyco"]),
    default="human",
    show_default=True,
    help="A line for people, or the full event, or the value of HSYCO's data point, as one JSON line each.",
)
@click.option(
    "-n", "--limit", type=click.IntRange(0, 10_000), default=10, show_default=True, help="How many."
)
def events(folder: Path, follow: bool, form: str, limit: int) -> None:
    """Show the last events; the newest comes last."""
    path = f"/api/v1/events?format={'hsyco' if form == 'hsyco' else 'full'}&last={limit}"
    shown = _human if form == "human" else _as_it_is
    if not follow:
        _show_all(folder, f"{path}&follow=false", None, shown)
        return
    for last in _for_ever(lambda last: _show_all(folder, path, last, shown)):
        click.echo(f"mailbell: the server has gone, after event {last}; waiting for it", err=True)


def _for_ever(once: Callable[[str | None], str | None]) -> Iterator[str]:
    """Follow, from where the server has gone; yields when it has. That there is none at first is an error."""
    last = once(None)
    while True:
        yield last or "0"
        while True:
            time.sleep(AGAIN)
            try:
                last = once(last) or last
            except MailbellError:
                continue
            break


def _show_all(folder: Path, path: str, last: str | None, shown: Callable[[str, str], str]) -> str | None:
    """Print what comes until the stream ends; the last event's ID."""
    from mailbell.cli.control import follow

    for id_, text in follow(folder, path, last):
        print(shown(id_, text), flush=True)  # noqa: T201  click would encode it anew
        last = id_
    return last


def _as_it_is(_id: str, text: str) -> str:
    return text


def _human(id_: str, text: str) -> str:
    """`2026-11-22 18:24:49  #17  smtp  cam@cams.lan → alarm@house.lan  Motion  1 attachment`."""
    from mailbell.log import escape

    event: Any = json.loads(text)
    at = datetime.fromisoformat(event["received_at"]).astimezone()
    envelope = event["envelope"]
    sender = (event["from"] or {}).get("address") or envelope["mail_from"] or "<>"
    words = (
        f"{at:%Y-%m-%d %H:%M:%S}",
        f"#{id_}",
        event["ioserver"],
        f"{sender} → {', '.join(envelope['rcpt_to'])}",
        event["subject"] or "(no subject)",
        counted(len(event["attachments"]), "attachment") if event["attachments"] else "",
    )
    return _encodable(escape("  ".join(each for each in words if each)))


def _encodable(text: str) -> str:
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
