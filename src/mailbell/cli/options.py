"""Options and a sign of progress that several commands have."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

DEFAULT_FILE = Path("mailbell.toml")


def _default_file() -> Path | None:
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `-c FILE`."""
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        envvar="MAILBELL_CONFIG",
        default=_default_file,
        help=f"The settings: a TOML file. Without it, $MAILBELL_CONFIG, else {DEFAULT_FILE} if it is there, "
        "else the defaults.",
    )(command)


data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The data folder of the server; goes over that of the file.",
)

MANY = 4 * 2**20
"""Octets from which on a terminal is shown progress: about a second's work."""


def bar(label: str, length: int, *, shown: bool = True) -> Any:
    """A bar on the terminal, for what takes a while; `length` in octets."""
    shown = shown and sys.stderr.isatty() and length > MANY
    return click.progressbar(length=length, file=sys.stderr, label=label, hidden=not shown)
