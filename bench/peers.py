"""The servers that are measured: programs of their own on 127.0.0.1, all started and ended alike."""

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from tests.postfix import Postfix as PostfixInstance
from tests.tools import ROOT, SYSTEM_PATH, find, free_port

SECONDS = 30


class Unavailable(Exception):
    """This peer can't run here; the message says why."""


class Peer:
    """A server to measure. `stores` says where a mail is at the 250; `remark` is for the reader."""

    name: str
    stores = "nowhere"
    remark = ""

    def __init__(self) -> None:
        self.port = free_port()
        # Not /tmp, which may be memory, where an fsync costs nothing.
        self.folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))

    def command(self) -> list[str]:
        """Return the command that serves on `port` with its files in `folder`, or raise Unavailable."""
        raise NotImplementedError

    def version(self) -> str:
        """Return which version this is."""
        raise NotImplementedError

    def count(self) -> int | None:
        """Return how many mails it has taken; asked after its end. None where that can't be known."""
        return None

    def start(self) -> None:
        """Start, and return once it greets."""
        self.output = self.folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PATH": SYSTEM_PATH},
            )
        self.wait_for_greeting()

    def stop(self) -> int | None:
        """End it and return how many mails it says it has taken."""
        end(self.process)
        taken = self.count()
        shutil.rmtree(self.folder)
        return taken

    def wait_for_greeting(self) -> None:
        deadline = time.monotonic() + SECONDS
        while not greets(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                end(self.process)
                said = self.output.read_text().strip()
                raise Unavailable(f"does not start: {said.rpartition(chr(10))[2] or 'it says nothing'}")
            time.sleep(0.02)

    def settle(self) -> None:
        """Wait until it has nothing left to do, so that this does not weigh on who is measured next."""
        deadline = time.monotonic() + 2 * SECONDS
        before = -1.0
        while (now := cpu_seconds(self.process.pid)) - before > 0.01 and time.monotonic() < deadline:
            before = now
            time.sleep(0.2)


class SmtpSink(Peer):
    """Postfix's smtp-sink: a loop in C that stores nothing and parses next to nothing. The limit."""

    name = "smtp-sink"

    def command(self) -> list[str]:
        user = ["-u", "postfix"] if os.geteuid() == 0 else []
        return [needed("smtp-sink"), *user, f"127.0.0.1:{self.port}", "1000"]

    def version(self) -> str:
        return postfix_version()


class Aiosmtpd(Peer):
    """aiosmtpd on uvloop, throwing mail away."""

    name = "aiosmtpd"

    def command(self) -> list[str]:
        return [sys.executable, str(ROOT / "bench/servers/aiosmtpd_discard.py"), str(self.port)]

    def version(self) -> str:
        return f"{version('aiosmtpd')}, uvloop {version('uvloop')}"

    def count(self) -> int | None:
        return int(self.output.read_text())


class SmtpServer(Peer):
    """nodemailer's smtp-server, throwing mail away."""

    name = "smtp-server"
    remark = "waits 100 ms before it greets, to catch clients that talk too early"
    package = ROOT / "bench/node/node_modules/smtp-server/package.json"

    def command(self) -> list[str]:
        if not self.package.exists():
            raise Unavailable("is not installed: make bench does it")
        return [needed("node"), str(ROOT / "bench/node/discard.mjs"), str(self.port)]

    def version(self) -> str:
        return f"{json.loads(self.package.read_text())['version']}, Node.js {said('node', '--version')[1:]}"

    def count(self) -> int | None:
        return int(self.output.read_text())


class Postfix(Peer):
    """Postfix: a mail is in its queue, with an fsync, before the 250; from there it goes to `discard`."""

    name = "Postfix"
    stores = "queue, fsync"

    def start(self) -> None:
        needed("postfix")
        if os.geteuid() != 0:
            raise Unavailable("can be started by root only")
        settings = {
            "default_transport": "discard:",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_peername_lookup": "no",
            "smtpd_client_connection_count_limit": "0",
            "in_flow_delay": "0",  # else it slows its clients down as soon as its queue grows
        }
        self.instance = PostfixInstance(settings, [f"127.0.0.1:{self.port} inet n - n - 100 smtpd"])
        self.instance.__enter__()
        self.output = self.instance.log
        self.process = self.instance.master
        self.wait_for_greeting()

    def stop(self) -> int | None:
        self.settle()
        taken = self.instance.logged().count(": message-id=<")
        self.instance.__exit__(None, None, None)
        shutil.rmtree(self.folder)
        return taken

    def version(self) -> str:
        return postfix_version()


class Mailbell(Peer):
    """mailbell with no sink: a mail is in the journal, with an fsync, before the 250."""

    name = "mailbell"
    stores = "journal, fsync"
    threads = 64

    def command(self) -> list[str]:
        config = self.folder / "mailbell.toml"
        config.write_text(self.config())
        return [str(Path(sys.executable).with_name("mailbell")), "serve", "-c", str(config)]

    def config(self) -> str:
        return f"""
data = "data"
[log]
terminal = false
[ioservers.smtp]
port = {self.port}
listen = ["127.0.0.1"]
threads = {self.threads}
max_per_source = 1000
"""

    def version(self) -> str:
        return f"{version('mailbell')}, Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"

    def count(self) -> int | None:
        journal = f"file:{self.folder}/data/journal.db?mode=ro"
        with contextlib.closing(sqlite3.connect(journal, uri=True)) as connection:
            taken: int = connection.execute("select count(*) from mail").fetchone()[0]
        return taken


class MailbellScript(Mailbell):
    """The same with a script as its sink, which notes in `calls` when it was called for which mail."""

    name = "mailbell + script"

    def config(self) -> str:
        shutil.copy(ROOT / "bench/servers/clock.py", self.folder)
        return super().config() + '[sinks.clock]\ntype = "script"\npath = "clock.py"\n'

    def calls(self) -> dict[str, int]:
        """Return when the script was called, in ns of the machine's clock, by the mail's subject."""
        lines = (self.folder / "calls").read_text().splitlines()
        return {subject: int(moment) for subject, moment in (line.rsplit(" ", 1) for line in lines)}


PEERS: list[type[Peer]] = [Mailbell, MailbellScript, SmtpSink, Aiosmtpd, SmtpServer, Postfix]


def needed(command: str) -> str:
    """Return the path of a command, or raise Unavailable."""
    path = find(command)
    if path is None:
        raise Unavailable(f"{command} is not installed: sudo scripts/apt bench")
    return path


def said(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(
        [find(command[0]) or command[0], *command[1:]],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    ).stdout.strip()


def postfix_version() -> str:
    return said("postconf", "-d", "-h", "mail_version")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, whatever that takes, and wait until it is gone."""
    process.terminate()
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def greets(port: int) -> bool:
    """Whether an SMTP server answers on the port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.settimeout(5)
        return connection.recv(3) == b"220"
    return False


def cpu_seconds(root: int) -> float:
    """Return the CPU time so far of a process and all of its descendants, the ended ones included."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # gone in the meantime
            fields = stat.read_text().rpartition(")")[2].split()
            pid = int(stat.parent.name)
            parents[pid] = int(fields[1])
            ticks[pid] = sum(int(field) for field in fields[11:15])  # proc(5): utime, stime, cutime, cstime
    family, added = {root}, {root}
    while added:
        added = {pid for pid, parent in parents.items() if parent in added}
        family |= added
    return sum(ticks.get(pid, 0) for pid in family) / os.sysconf("SC_CLK_TCK")
