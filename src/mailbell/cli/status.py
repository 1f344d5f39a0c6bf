"""`mailbell status`, `replay` and `sinks`: what the running server is doing, and a hand on its sinks."""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from mailbell.cli.options import ask, counted, duration, echo, folder_option


@click.command()
@folder_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def status(folder: Path, as_json: bool) -> None:
    """Show what listens, the journal and each sink."""
    whole = ask(folder, "status")
    whole["ha"] = ask(folder, "ha")
    for line in [json.dumps(whole)] if as_json else _lines(whole):
        echo(line)


@click.command()
@folder_option
@click.option("--parked", is_flag=True, help="All that the sink has given up.")
@click.option(
    "--id",
    "ids",
    multiple=True,
    metavar="ID|N",
    help="The event with this ID, or of this number; repeatable.",
)
@click.option("--since", metavar="TIME", help='All that came in the last "2h", "3d".')
@click.argument("sink")
def replay(folder: Path, parked: bool, ids: tuple[str, ...], since: str | None, sink: str) -> None:
    """Deliver events to SINK once more."""
    if [parked, bool(ids), since is not None].count(True) != 1:
        raise click.UsageError("say which events: one of --parked, --id, --since")
    if since is not None:
        body: dict[str, object] = {"since": time.time() - duration(since, "--since")}
    elif ids:
        numbers = all(each.isascii() and each.isdecimal() for each in ids)
        body = {"sequences": [int(each) for each in ids]} if numbers else {"ids": list(ids)}
    else:
        body = {"parked": True}
    count = ask(folder, f"sinks/{quote(sink, '')}/replay", body)["replayed"]
    echo(f"{counted(count, 'event')} on the way to {sink}")


@click.command()
@folder_option
@click.argument("action", type=click.Choice(["pause", "resume"]))
@click.argument("sink")
def sinks(folder: Path, action: str, sink: str) -> None:
    """Pause SINK, or resume it. Meanwhile its events wait in the journal."""
    found = ask(folder, f"sinks/{quote(sink, '')}/{action}", {})
    echo(f"{sink} is {found['state']}, {found['lag']} to deliver")


def _availability(ha: Any) -> Iterator[str]:
    """Of one among several nodes."""
    if ha["mode"] == "single":
        return
    standing = "active" if ha["active"] else f"stands by, {ha['holder'] or 'nobody'} is active"
    since = datetime.fromisoformat(ha["since"]).astimezone()
    yield f"node {ha['node']}: {standing}; {ha['mode']}, since {since:%Y-%m-%d %H:%M:%S}"


def _lines(whole: Any) -> Iterator[str]:
    yield f"mailbell {whole['version']}"
    yield from _availability(whole["ha"])
    for each in whole["ioservers"]:
        where = f"SMTP on {', '.join(each['listening'])}" if each["listening"] else "closed"
        yield f"I/O server {each['id']}: {where}; {each['served']} served, {each['waiting']} waiting"
    journal = whole["journal"]
    yield f"journal: {journal['last_sequence']} mails, {journal['size'] / 2**20:.1f} MiB on disk"
    if journal["trouble"]:
        yield f"  mail is refused: {journal['trouble']}"
    for each in whole["sinks"]:
        yield (
            f"sink {each['name']}: {each['state']}; {each['lag']} to deliver, {each['parked']} parked; "
            f"since the start {each['delivered']} delivered, {each['retried']} retried; {each['rate']:.1f}/s"
        )
        if each["paused"]:
            yield f"  paused: {each['paused']}"
        if each["last_error"]:
            at = datetime.fromtimestamp(each["last_error_at"]).astimezone()
            yield f"  last error, {at:%Y-%m-%d %H:%M:%S}: {each['last_error']}"
