"""`mailbell backup` and `mailbell restore`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mailbell.cli.options import bar, folder_option

if TYPE_CHECKING:
    from mailbell.journal.backup import Backup


@click.command()
@folder_option
@click.argument("target", type=click.Path(path_type=Path))
def backup(folder: Path, target: Path) -> None:
    """Copy the data folder to the new folder TARGET. The server may run meanwhile.

    Mail, positions, inbox and certificate are in it, the log is not.
    """
    from mailbell.journal import backup as work

    done = _with_bar(work.backup, folder, target, work.size(folder))
    click.echo(f"{target}: {_about(done)}")


@click.command()
@folder_option
@click.argument("source", metavar="BACKUP", type=click.Path(path_type=Path))
def restore(folder: Path, source: Path) -> None:
    """Copy BACKUP into the data folder, which must hold no mail yet."""
    from mailbell.journal import backup as work

    done = _with_bar(work.restore, source, folder, work.size(source))
    click.echo(f"{folder}: {_about(done)}; what was delivered after the backup was made is delivered again")


def _with_bar(work: Callable[..., Any], source: Path, target: Path, size: int) -> "Backup":
    with bar("copying", size) as progress:
        done: Backup = work(source, target, progress.update)
    return done


def _about(done: "Backup") -> str:
    return f"all up to mail {done.last_sequence}, {done.size / 2**20:.1f} MiB"
