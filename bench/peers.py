"""The servers that are measured, each set up as its own documentation says."""

import contextlib
import email
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from bench.peer import Peer, Unavailable, await_port, end, needed, said
from tests.postfix import Postfix as PostfixInstance
from tests.tools import ROOT, free_port

BUILT = ROOT / "bench/.peers"
"""Where scripts/peers puts what it builds."""


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


class AiosmtpdFiles(Aiosmtpd):
    """aiosmtpd on uvloop, writing each mail to a file."""

    name = "aiosmtpd + files"
    stores = "file, fsync"

    def command(self) -> list[str]:
        server = str(ROOT / "bench/servers/aiosmtpd_files.py")
        return [sys.executable, server, str(self.port), str(self.folder / "mails")]

    def count(self) -> int | None:
        return len(list((self.folder / "mails").iterdir()))

    def subjects(self) -> list[str]:
        return subjects_of(self.folder.glob("mails/*"))


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
    settings: ClassVar = {
        "default_transport": "discard:",
        "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "smtpd_peername_lookup": "no",
        "smtpd_client_connection_count_limit": "0",
        "message_size_limit": "0",
        "in_flow_delay": "0",  # else it slows its clients down as soon as its queue grows
    }

    def start(self) -> None:
        needed("postfix")
        if os.geteuid() != 0:
            raise Unavailable("can be started by root only")
        if not hasattr(self, "instance"):
            shutil.rmtree(self.folder)
            service = f"127.0.0.1:{self.port} inet n - n - 300 smtpd"
            self.instance = PostfixInstance(self.settings, [service])
            self.folder, self.output = self.instance.folder, self.instance.log
        self.instance.__enter__()
        self.working = self.folder / "queue"
        self.process = self.instance.master
        self.wait_for_greeting()

    def stop(self) -> int | None:
        self.settle()
        return super().stop()

    def count(self) -> int | None:
        return self.instance.logged().count(": message-id=<")

    def version(self) -> str:
        return postfix_version()


class PostfixHolding(Postfix):
    """A Postfix that keeps all mail in its queue."""

    settings: ClassVar = Postfix.settings | {"smtpd_recipient_restrictions": "static:HOLD"}

    def subjects(self) -> list[str]:
        # Its queue files are records of a line each, the line as it came.
        found = [
            re.search(rb"Subject: (bench-\d+)", path.read_bytes())
            for path in self.folder.glob("queue/hold/*")
        ]
        return [match[1].decode() for match in found if match]


class Mailpit(Peer):
    """Mailpit with a database on disk, keeping everything; it neither asks names of a DNS nor for updates."""

    name = "Mailpit"
    stores = "SQLite"

    def command(self) -> list[str]:
        places = {"--database": self.folder / "mailpit.db", "--smtp": f"127.0.0.1:{self.port}"}
        places |= {"--listen": f"127.0.0.1:{free_port()}", "--max": "0"}
        options = [str(word) for pair in places.items() for word in pair]
        return [built("mailpit"), *options, "--smtp-disable-rdns", "--disable-version-check", "--quiet"]

    def version(self) -> str:
        return built_version("mailpit")

    def count(self) -> int | None:
        return len(self.subjects())

    def subjects(self) -> list[str]:
        return column(self.folder / "mailpit.db", "select Subject from mailbox")


class Inbucket(Peer):
    """Inbucket with its defaults: the last 500 mails of each mailbox, in memory."""

    name = "Inbucket"
    stores = "memory"

    def __init__(self) -> None:
        super().__init__()
        self._web = f"127.0.0.1:{free_port()}"
        self._taken = 0

    def command(self) -> list[str]:
        return [built("inbucket")]

    def environment(self) -> dict[str, str]:
        settings = {
            "LOGLEVEL": "warn",
            "SMTP_ADDR": f"127.0.0.1:{self.port}",
            "SMTP_MAXMESSAGEBYTES": str(2**25),
            "POP3_ADDR": f"127.0.0.1:{free_port()}",
            "WEB_ADDR": self._web,
        }
        return {f"INBUCKET_{key}": value for key, value in settings.items()}

    def version(self) -> str:
        return built_version("inbucket")

    def end(self) -> None:
        with urllib.request.urlopen(f"http://{self._web}/debug/vars", timeout=10) as answer:
            self._taken = json.load(answer)["smtp"]["ReceivedTotal"]
        super().end()

    def count(self) -> int | None:
        return self._taken


class InbucketFiles(Inbucket):
    """Inbucket with its file store: the last 500 mails of each mailbox."""

    name = "Inbucket, files"
    stores = "file"

    def environment(self) -> dict[str, str]:
        storage = {"INBUCKET_STORAGE_TYPE": "file", "INBUCKET_STORAGE_PARAMS": f"path:{self.folder}/mails"}
        return super().environment() | storage

    def subjects(self) -> list[str]:
        return subjects_of(self.folder.rglob("*.raw"))


class InbucketKeeping(InbucketFiles):
    """An Inbucket that keeps all mails of a mailbox."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"INBUCKET_STORAGE_MAILBOXMSGCAP": "0"}


class MailHog(Peer):
    """MailHog v1.0.1, of 2020. It can't be built any more, which the report is to say."""

    name = "MailHog"

    def command(self) -> list[str]:
        raise Unavailable("does not build: github.com/ian-kent/linkio, which it needs, is not to be had")


class Mailbell(Peer):
    """mailbell with no sink: a mail is in the journal, with an fsync, before the 250."""

    name = "mailbell"
    stores = "journal, fsync"
    threads = 256

    def command(self) -> list[str]:
        config = self.folder / "mailbell.toml"
        config.write_text(self.config())
        return [sys.executable, "-m", "mailbell", "serve", "-c", str(config)]

    def config(self) -> str:
        return f"""
data = "data"
[log]
terminal = false
[ioservers.smtp]
port = {self.port}
listen = ["127.0.0.1"]
threads = {self.threads}
max_per_source = {self.threads}
"""

    def version(self) -> str:
        return f"{version('mailbell')}, Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"

    def count(self) -> int | None:
        return int(column(self.folder / "data/journal.db", "select count(*) from mail")[0])

    def subjects(self) -> list[str]:
        return [subject(raw) for raw in column(self.folder / "data/journal.db", "select raw from mail")]


class MailbellScript(Mailbell):
    """The same with a script as its sink, which notes in `calls` when it was called for which mail."""

    name = "mailbell + script"

    def config(self) -> str:
        shutil.copy(ROOT / "bench/servers/clock.py", self.folder)
        return super().config() + '[sinks.clock]\ntype = "script"\npath = "clock.py"\n'

    def calls(self) -> dict[str, int]:
        """Return when the script was called, in ns of the machine's clock, by the mail's subject."""
        calls = self.folder / "calls"  # the script makes it
        lines = calls.read_text().splitlines() if calls.exists() else []
        return {subject: int(moment) for subject, moment in (line.rsplit(" ", 1) for line in lines)}


class Broker:
    """A mosquitto that comes and goes."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")

    def start(self) -> None:
        command = [needed("mosquitto"), "-c", str(self._config)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        if self._process is not None:
            end(self._process)

    def sink(self) -> str:
        return f'[sinks.broker]\ntype = "mqtt"\nurl = "mqtt://127.0.0.1:{self.port}"\n'


class MailbellScriptMqtt(MailbellScript):
    """The same with an MQTT broker for a sink, too. What the broker does is not in its figures."""

    name = "mailbell + script, MQTT"

    def __init__(self) -> None:
        super().__init__()
        self.broker = Broker(self.folder)

    def config(self) -> str:
        return super().config() + self.broker.sink()

    def start(self) -> None:
        self.broker.start()
        super().start()

    def end(self) -> None:
        super().end()
        self.broker.stop()


class MailbellJetStream(Mailbell):
    """mailbell with a stream of one NATS server for its journal. What that server costs is not counted."""

    name = "mailbell, JetStream"
    stores = "one NATS server, no fsync"

    def __init__(self) -> None:
        super().__init__()
        self._nats = free_port()
        self._monitor = free_port()
        self._server: subprocess.Popen[bytes] | None = None
        self._taken = 0

    def config(self) -> str:
        url = f"nats://127.0.0.1:{self._nats}"
        return f'{super().config()}[journal]\nengine = "jetstream"\nurl = "{url}"\nreplicas = 1\n'

    def start(self) -> None:
        ports = ["-a", "127.0.0.1", "-p", str(self._nats), "-m", str(self._monitor)]
        command = [needed("nats-server"), "-js", "-sd", str(self.folder / "nats"), *ports]
        self._server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await_port(self._nats)
        super().start()

    def end(self) -> None:
        streams = f"http://127.0.0.1:{self._monitor}/jsz?streams=true"
        with urllib.request.urlopen(streams, timeout=10) as answer:
            details = json.load(answer)["account_details"][0]["stream_detail"]
        self._taken = sum(each["state"]["last_seq"] for each in details if each["name"] == "MAILBELL")
        super().end()

    def remove(self) -> None:
        if self._server is not None:
            end(self._server)
        super().remove()

    def count(self) -> int | None:
        return self._taken


PEERS: list[type[Peer]] = [
    Mailbell,
    MailbellScript,
    MailbellScriptMqtt,
    MailbellJetStream,
    SmtpSink,
    Aiosmtpd,
    AiosmtpdFiles,
    SmtpServer,
    Postfix,
    Mailpit,
    Inbucket,
    InbucketFiles,
    MailHog,
]


def built(name: str) -> str:
    """Return the path of a program that scripts/peers builds, or raise Unavailable."""
    return needed(str(BUILT / name), "scripts/peers builds it where Go is installed")


def built_version(name: str) -> str:
    """Return the version that the program was built from; asked of Go, for Mailpit asks its home."""
    lines = said("go", "version", "-m", built(name)).splitlines()
    return next(line.split()[2] for line in lines if line.split()[:1] == ["mod"])


def postfix_version() -> str:
    return said("postconf", "-d", "-h", "mail_version")


def column(database: Path, query: str) -> list[str]:
    """Return the first column of what a database answers."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute(query)]


def subject(raw: bytes | str) -> str:
    return str(email.message_from_bytes(raw if isinstance(raw, bytes) else raw.encode())["subject"])


def subjects_of(files: Iterable[Path]) -> list[str]:
    return [subject(path.read_bytes()) for path in files]
