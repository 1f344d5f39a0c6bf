"""`mailbell user`: the users files for `auth = "required"`, and for the page and the API."""

import sys
from pathlib import Path

import click

from mailbell.cli.options import echo
from mailbell.errors import MailbellError

_file = click.argument("file", default=Path("users"), type=click.Path(path_type=Path), metavar="[FILE]")


@click.group()
def user() -> None:
    """Write the users file of an I/O server, or of the page.

    FILE is what `users` names in the settings of either; without it, the file users here. A running server
    reads it again when it changes.
    """


@user.command()
@click.argument("name")
@_file
@click.option("--stdin", is_flag=True, help="Read the password from standard input, one line.")
def add(name: str, file: Path, stdin: bool) -> None:
    """Add a user, or give it another password.

    The password is asked for, twice; only a hash of it (scrypt) is kept.
    """
    from mailbell.login.passwords import put

    put(file, name, _from_stdin() if stdin else _asked())
    click.echo(f"{file}: {name} may log in")


@user.command()
@click.argument("name")
@_file
def token(name: str, file: Path) -> None:
    """Add a user for a program that asks the API, or give it another token.

    The token is shown this once: `Authorization: Bearer TOKEN`. Only a hash of it is kept.
    """
    from mailbell.login.passwords import put_token

    made = put_token(file, name)
    click.echo(f"{file}: {name} may ask the API with the token on the next line", err=True)
    click.echo(made)


@user.command()
@click.argument("name")
@_file
def remove(name: str, file: Path) -> None:
    """Remove a user."""
    from mailbell.login.passwords import remove as take_out

    take_out(file, name)
    click.echo(f"{file}: {name} is removed")


@user.command("list")
@_file
def list_(file: Path) -> None:
    """Show the users, and how their passwords are kept."""
    from mailbell.login.passwords import kind, parse

    for name, hashed in parse(file).items():
        echo(f"{name}  {kind(hashed)}")


def _asked() -> str:
    if not sys.stdin.isatty():
        raise MailbellError("there is no terminal to ask for the password; pipe it in and say --stdin")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def _from_stdin() -> str:
    return sys.stdin.readline().rstrip("\r\n")
