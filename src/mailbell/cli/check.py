"""`mailbell check`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mailbell.cli.options import config_option
from mailbell.errors import ConfigError

if TYPE_CHECKING:
    from mailbell.settings import IoServerSettings, ServiceSettings


@click.command()
@config_option
def check(config: Path | None) -> None:
    """Say what is wrong with the settings, scripts and sinks.

    If nothing is: what would listen where.
    """
    from mailbell.config import load
    from mailbell.sinks import registry

    settings = load(config)
    problems = [each for sink in settings.sinks.values() for each in registry.problems(sink)]
    wrong, cautions = _journal(settings)
    problems += wrong
    if problems:
        raise ConfigError(problems)
    click.echo(f"{config or 'the defaults'}: ok")
    for caution in cautions:
        click.echo(f"mind: {caution}")
    for id_, each in settings.ioservers.items():
        click.echo(f"I/O server {id_}: SMTP on {', '.join(_addresses(each))}")
    for name, sink in settings.sinks.items():
        click.echo(f"sink {name}: {sink.describe()}")
    click.echo(f"data in {settings.data.resolve()}")


def _journal(settings: "ServiceSettings") -> tuple[list[str], list[str]]:
    """What is wrong with a journal that is elsewhere, and what to mind."""
    if settings.journal.engine == "sqlite":
        return [], []
    import asyncio

    from mailbell.cluster import problems

    return asyncio.run(problems(settings.journal))


def _addresses(server: "IoServerSettings") -> list[str]:
    return [f"[{each}]:{server.port}" if ":" in each else f"{each}:{server.port}" for each in server.listen]
