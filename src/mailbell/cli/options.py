"""Options that several commands have."""

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
