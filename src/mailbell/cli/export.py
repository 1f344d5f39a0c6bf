"""`mailbell export`."""

import time
from pathlib import Path

import click

from mailbell.cli.options import bar, counted, duration, folder_option


@click.command()
@folder_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["eml", "mbox", "maildir"]),
    default="eml",
    show_default=True,
    help="A folder of .eml files, one file with all, or a Maildir.",
)
@click.option("--since", metavar="TIME", help='Only what came in the last "2h", "3d".')
@click.argument("target", type=click.Path(path_type=Path))
def export(folder: Path, form: str, since: str | None, target: Path) -> None:
    """Write the mail of the journal to TARGET.

    The server may run meanwhile. Called again, it goes on with what has come since.
    """
    from mailbell.cli.archive import Archive
    from mailbell.errors import DataError
    from mailbell.journal.mails import last_sequence, read_all

    journal = folder / "journal.db"
    newest = last_sequence(journal)
    earliest = 0.0 if since is None else (time.time() - duration(since, "--since")) * 1000
    count = 0
    try:
        with Archive(form, target) as archive:
            at = archive.last
            with bar("exporting", max(0, newest - at), many=1000) as progress:
                for sequence, mail in read_all(journal, at):
                    if mail.received_at >= earliest:
                        archive.add(sequence, mail)
                        count += 1
                    progress.update(sequence - at)
                    at = sequence
    except OSError as error:
        raise DataError(f"{target}: {error.strerror}; call it again to go on") from error
    click.echo(f"{target}: {counted(count, 'mail')} written")
