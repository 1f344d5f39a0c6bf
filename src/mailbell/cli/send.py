"""`mailbell send`."""

import re
import sys
from pathlib import Path

import click

from mailbell.cli.options import echo


def _server(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, int | None]:
    """Read `host`, `host:port` or `[address]:port`."""
    found = re.fullmatch(r"(?:\[([^]]+)\]|([^:]+))(?::([0-9]{1,5}))?", value)
    if found is None or not 0 < int(found[3] or 25) < 65536:
        raise click.BadParameter(f"{value!r} is no server: write 127.0.0.1:2525 or [::1]:2525")
    return found[1] or found[2], int(found[3]) if found[3] else None


@click.command()
@click.option(
    "--server",
    callback=_server,
    metavar="HOST:PORT",
    default="127.0.0.1:25",
    show_default=True,
    help="The listener.",
)
@click.option("--from", "sender", default="sender@example.com", show_default=True, help="The sender.")
@click.option(
    "--to", "recipients", multiple=True, default=["test@example.com"], show_default=True, help="A recipient."
)
@click.option("--subject", default="Test mail from mailbell", show_default=True)
@click.option(
    "--body", default="This is a test.", show_default=True, help="The text; - reads standard input."
)
@click.option(
    "--attach",
    "attachments",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file to attach.",
)
@click.option("--tls", type=click.Choice(["off", "starttls", "implicit"]), default="off", show_default=True)
@click.option("--verify", is_flag=True, help="Check the certificate; without it a self-signed one will do.")
@click.option("--user", help="The user name for AUTH.")
@click.option(
    "--password", envvar="MAILBELL_PASSWORD", help="Its password; better by $MAILBELL_PASSWORD or when asked."
)
@click.option("--timeout", type=click.FloatRange(min=0.1), default=60.0, show_default=True, metavar="SECONDS")
@click.option("-v", "--verbose", is_flag=True, help="Show the dialogue on standard error.")
def send(
    server: tuple[str, int | None],
    sender: str,
    recipients: tuple[str, ...],
    subject: str,
    body: str,
    attachments: tuple[Path, ...],
    tls: str,
    verify: bool,
    user: str | None,
    password: str | None,
    timeout: float,
    verbose: bool,
) -> None:
    """Send a test mail and say the server's reply.

    --to and --attach may stand several times.
    """
    from mailbell.cli.dialogue import Delivery, compose

    host, port = server
    text = sys.stdin.read() if body == "-" else body
    try:
        message = compose(sender, recipients, subject, text, attachments)
    except ValueError as error:  # a line break in a header field
        raise click.UsageError(str(error)) from error
    delivery = Delivery(
        host=host,
        port=port or (465 if tls == "implicit" else 25),
        tls=tls,
        verify=verify,
        credentials=None if user is None else (user, _password(password)),
        timeout=timeout,
        tell=(lambda line: echo(line, err=True)) if verbose else (lambda line: None),
    )
    echo(delivery.send(sender, recipients, message))


def _password(given: str | None) -> str:
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise click.UsageError("--user needs a password: give --password or set MAILBELL_PASSWORD")
    return str(click.prompt("Password", hide_input=True, err=True))
