"""`mailbell serve`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mailbell.cli.options import config_option, data_option

if TYPE_CHECKING:
    from mailbell.settings import ServiceSettings


@click.command()
@config_option
@click.option(
    "--port", type=click.IntRange(1, 65535), metavar="N", help="The SMTP port; goes over that of the file."
)
@data_option
@click.option(
    "--web", "listen", metavar="HOST:PORT|off", help="Where the API answers; goes over that of the file."
)
@click.option(
    "--script",
    "scripts",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A script that gets every mail, on top of the file's sinks; repeatable.",
)
@click.pass_context
def serve(
    ctx: click.Context,
    config: Path | None,
    port: int | None,
    data: Path | None,
    listen: str | None,
    scripts: tuple[Path, ...],
) -> None:
    """Run the server, until Ctrl-C or SIGTERM. SIGHUP makes it read its settings again."""
    _open_standard_descriptors()
    from mailbell.config import load

    def read() -> "ServiceSettings":
        return load(config, port=port, data=data, listen=listen, scripts=scripts)

    settings = read()
    from mailbell.app import run  # after the settings: their problems show at once

    ctx.exit(run(settings, read))


def _open_standard_descriptors() -> None:
    """Where the parent has closed 0, 1 or 2, our sockets would get those numbers, which libuv can't close."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
