"""`mailbell version`."""

import click

from mailbell import __version__


@click.command()
def version() -> None:
    """Say which versions run here, for a bug report."""
    import os
    import sqlite3
    import ssl
    import sys

    system = os.uname()
    rows = {
        "mailbell": __version__,
        "Python": f"{sys.version.split()[0]} ({sys.implementation.name})",
        "system": f"{system.sysname} {system.release} {system.machine}",
        "SQLite": sqlite3.sqlite_version,
        "uvloop": _installed("uvloop") or "not installed: asyncio's own loop serves",
        "quickjs": _installed("quickjs-ng") or "not installed: no JavaScript",
        "OpenSSL": ssl.OPENSSL_VERSION.removeprefix("OpenSSL "),
    }
    for name, text in rows.items():
        click.echo(f"{name:8} {text}")


def _installed(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
