"""`mailbell doctor`."""

from pathlib import Path

import click

from mailbell.cli.options import config_option, data_option, echo


@click.command()
@config_option
@data_option
@click.pass_context
def doctor(ctx: click.Context, config: Path | None, data: Path | None) -> None:
    """Examine this machine: ports, disk, clock, sinks.

    Each line is ok, a note, or says what to do. To be called as the user that the server runs as.
    """
    from mailbell.cli.examine import examine
    from mailbell.config import load

    sick = False
    for finding in examine(load(config, data=data)):
        state = "WRONG" if finding.state == "wrong" else finding.state
        echo(f"{state:<6} {finding.text}")
        sick |= finding.state == "wrong"
    ctx.exit(1 if sick else 0)
