"""What several commands have: options, a sign of progress, a question to the running server, words."""

import sys
from collections.abc import Callable
from functools import wraps
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


def folder_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `-c FILE` and `--data DIR`: the command gets the data folder."""

    @wraps(command)
    def with_folder(*args: Any, config: Path | None, data: Path | None, **others: Any) -> Any:
        from mailbell.config import load

        return command(*args, folder=load(config, data=data).data, **others)

    return config_option(data_option(with_folder))


MANY = 4 * 2**20
"""Octets from which on a terminal is shown progress: about a second's work."""


def bar(label: str, length: int, *, shown: bool = True, many: int = MANY) -> Any:
    """A bar on the terminal, for what takes a while: where there is more to do than `many`."""
    shown = shown and sys.stderr.isatty() and length > many
    return click.progressbar(length=length, file=sys.stderr, label=label, hidden=not shown)


def duration(text: str, hint: str) -> float:
    """Seconds; BadParameter, with the option's name, for what is no duration."""
    from mailbell.settings import Duration

    try:
        return Duration.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=hint) from None


def ask(folder: Path, path: str, body: object = None) -> Any:
    """Ask the server that runs on this data folder, at `/api/v1/…`; see control.py."""
    from mailbell.cli import control

    return control.ask(folder, f"/api/v1/{path}", body)


def echo(line: str, *, err: bool = False) -> None:
    """Print a line that may hold what a stranger has sent."""
    from mailbell.log import escape

    click.echo(escape(line), err=err)


def counted(number: int, what: str) -> str:
    """`1 mail`, `2 mails`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
