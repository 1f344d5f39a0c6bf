"""`mailbell version`."""

import sqlite3
import ssl
import sys

from click.testing import CliRunner

from mailbell import __version__
from mailbell.cli.main import commands


def test_it_names_what_runs_here() -> None:
    result = CliRunner().invoke(commands, ["version"])
    rows = dict(line.split(maxsplit=1) for line in result.output.splitlines())
    assert rows["mailbell"] == __version__
    assert rows["Python"].startswith(sys.version.split()[0])
    assert rows["SQLite"] == sqlite3.sqlite_version
    assert rows["OpenSSL"] in ssl.OPENSSL_VERSION
    assert rows["uvloop"][0].isdigit()
    assert rows["quickjs"][0].isdigit()
