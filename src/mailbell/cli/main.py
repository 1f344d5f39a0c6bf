"""`mailbell COMMAND`. Exit status: 0 done, 1 failed, 2 wrong usage or settings."""

import click

from mailbell import __version__
from mailbell.cli.backup import backup, restore
from mailbell.cli.check import check
from mailbell.cli.convert import convert
from mailbell.cli.doctor import doctor
from mailbell.cli.events import events
from mailbell.cli.export import export
from mailbell.cli.imports import import_
from mailbell.cli.options import echo
from mailbell.cli.send import send
from mailbell.cli.serve import serve
from mailbell.cli.sessions import sessions
from mailbell.cli.settings import settings
from mailbell.cli.status import replay, sinks, status
from mailbell.cli.user import user
from mailbell.cli.version import version
from mailbell.errors import ConfigError, MailbellError


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a user meets them."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for problem in error.problems:
                echo(problem, err=True)
            ctx.exit(2)
        except MailbellError as error:
            echo(f"mailbell: {error}", err=True)
            ctx.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="mailbell %(version)s")
def commands() -> None:
    """Mail in, events out: an SMTP server that turns every message into a JSON event and delivers it."""


COMMANDS = (
    *(serve, check, doctor, send, convert, events, sessions, status, replay, sinks, user),
    *(backup, restore, export, import_, settings, version),
)

for _command in COMMANDS:
    commands.add_command(_command)


def main() -> None:
    """The console command."""
    commands(prog_name="mailbell")
