"""`mailbell sessions`: what was said on the last connections, and why each ended."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from mailbell.cli.options import ask, counted, echo, folder_option

EVERY = 0.5
"""Seconds between two looks at what is new, with --follow."""


@click.command()
@folder_option
@click.option("--failed", is_flag=True, help="Only connections that brought no mail.")
@click.option("--follow", is_flag=True, help="Go on with those that end from now on, until Ctrl-C.")
@click.option("-n", "--limit", type=click.IntRange(1), default=10, show_default=True, help="How many.")
@click.argument("number", required=False, type=click.IntRange(1), metavar="[NUMBER]")
def sessions(folder: Path, failed: bool, follow: bool, limit: int, number: int | None) -> None:
    """Show the last connections to the running server.

    Each with all its lines and why it ended; the newest comes last. With NUMBER, that one.
    """
    path = f"sessions?limit={limit}" + ("&failed=true" if failed else "")
    numbers = [number] if number else [each["id"] for each in reversed(ask(folder, path)["sessions"])]
    if not numbers:
        click.echo("no connection yet" if not failed else "no failed connection")
    for each in numbers:
        _show(ask(folder, f"sessions/{each}"))
    if follow:
        for each in _new(folder, failed):
            _show(ask(folder, f"sessions/{each}"))


def _new(folder: Path, failed: bool) -> Iterator[int]:
    """The numbers of connections as they end, for ever."""
    seen: set[int] | None = None
    while True:
        ended = {
            each["id"]: each
            for each in reversed(ask(folder, "sessions?limit=1000")["sessions"])
            if each["ended_at"]
        }
        if seen is not None:
            yield from (id_ for id_ in ended if id_ not in seen and (ended[id_]["failed"] or not failed))
        seen = set(ended)
        time.sleep(EVERY)


def _show(session: Any) -> None:
    for line in _lines(session):
        echo(line)
    click.echo()


def _lines(session: Any) -> Iterator[str]:
    """A head that says what came of it, the dialogue, and how it ended."""
    began = datetime.fromtimestamp(session["started_at"]).astimezone()
    result = "FAILED" if session["failed"] else counted(session["mails"], "mail")
    where = f"{session['ip']} port {session['port']} to {session['ioserver']}"
    yield f"#{session['id']}  {began:%Y-%m-%d %H:%M:%S}  {where}  {result}"
    if session["tls"]:
        yield f"    TLS: {session['tls']}"
    if session.get("left_out"):
        yield f"    … {session['left_out']} lines before these"
    for line in session["lines"]:
        yield f"    {line['at']:8.3f} {line['mark']} {line['text']}"
    yield f"    {session['outcome'] or 'It is still open.'}"
