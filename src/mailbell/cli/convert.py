"""`mailbell convert`."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mailbell.cli.options import bar

if TYPE_CHECKING:
    from mailbell.mail import Mail


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["full", "hsyco"]),
    default="full",
    show_default=True,
    help="The full event, or the value of HSYCO's data point.",
)
@click.option("--rawbody", is_flag=True, help="HSYCO's option: the body as it travelled.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.pass_context
def convert(ctx: click.Context, form: str, rawbody: bool, files: tuple[Path, ...]) -> None:
    """Print the event of each message, as one JSON line each.

    FILE is a message, an mbox, a folder of .eml and .mbox files, a Maildir, or - for standard input.
    """
    from mailbell.cli.mailfiles import find
    from mailbell.event.convert import ConvertOptions
    from mailbell.event.convert import convert as to_event

    options = ConvertOptions(rawbody=rawbody)
    out = sys.stdout.buffer
    found, failed = find(files), False
    with _progress(found) as bar:
        for path in found:
            try:
                for mail in _mails(path):
                    event = to_event(mail, options)
                    out.write((event.value.encode() if form == "hsyco" else event.json) + b"\n")
                    bar.update(len(mail.raw))
            except BrokenPipeError:  # the reader of our output has enough
                raise
            except OSError as error:
                click.echo(f"mailbell: {path}: {error.strerror}", err=True)
                failed = True
    ctx.exit(1 if failed else 0)


def _mails(path: Path) -> Iterator["Mail"]:
    """The messages of a file, received when it was last written; who sent them to whom, nobody knows."""
    from mailbell.cli.mailfiles import split
    from mailbell.mail import Envelope, Mail, Source, new_id

    with click.open_file(str(path), "rb") as stream:
        received = int((time.time() if path == Path("-") else path.stat().st_mtime) * 1000)
        for raw in split(stream):
            yield Mail(new_id(received), received, "smtp", Source("", 0), Envelope("", ()), raw)


def _progress(files: list[Path]) -> Any:
    """A bar on the terminal, unless the events go there or there is little to do."""
    total = sum(path.stat().st_size for path in files if path.is_file())
    return bar("converting", total, shown=not sys.stdout.isatty())
