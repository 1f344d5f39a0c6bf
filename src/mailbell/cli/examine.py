"""The examinations of `mailbell doctor`: each yields what it found, and what to do about it."""

import ctypes
import os
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from mailbell.errors import MailbellError
from mailbell.settings import (
    IoServerSettings,
    MqttSettings,
    NatsSettings,
    ServiceSettings,
    SinkSettings,
    SmtpSettings,
    WebhookSettings,
)

REACH_WITHIN = 5.0
MEASURE = 0.5
"""Seconds for a connection to a sink's receiver, and for which the disk is measured."""

SLOW, TOO_FAST = 30, 20_000
"""Synchronisations a second: an old SD card; more than a disk can do that keeps its word."""

LOW_SPACE = 256 * 2**20
EXPIRES_SOON = timedelta(days=30)
OLDEST_TIME = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
OLD_SQLITE = (3, 35)

_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "9p", "vboxsf", "vmhgfs", "fuse.sshfs", "ceph", "glusterfs"}
_VOLATILE = {"tmpfs", "ramfs"}
_TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""

_PORTS = {"http": 80, "https": 443, "mqtt": 1883, "mqtts": 8883, "nats": 4222, "tls": 4222}


class Finding(NamedTuple):
    """`note` is worth knowing, `wrong` has to be mended."""

    state: Literal["ok", "note", "wrong"]
    text: str


def examine(settings: ServiceSettings) -> Iterator[Finding]:
    """Look at everything; the running server, if there is one, goes on."""
    yield from _program()
    yield from _clock()
    data = settings.data.resolve()
    running = _running(data)
    if running is not None:
        yield Finding("ok", f"a server runs on {data}: mailbell {running['version']}")
    yield from _folder(data, running is not None)
    for id_, each in settings.ioservers.items():
        yield _port(id_, each, running is not None)
        yield from _reach(id_, each)
        yield from _certificate(id_, each, data)
    if settings.web.listen != "off":
        yield _web(settings.web.listen, running is not None)
    for name, sink in settings.sinks.items():
        yield from _sink(name, sink)


def _program() -> Iterator[Finding]:
    yield Finding("ok", f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}")
    if sqlite3.sqlite_version_info < OLD_SQLITE or not _has_fts5():
        yield Finding("wrong", "this SQLite is too old or has no FTS5: use a Python with a newer one")
    if find_spec("uvloop") is None:
        yield Finding("note", "uvloop is not installed: asyncio serves, at a third of the speed")


def _has_fts5() -> bool:
    database = sqlite3.connect(":memory:")
    try:
        database.execute("create virtual table words using fts5 (word)")
    except sqlite3.OperationalError:
        return False
    finally:
        database.close()
    return True


def _clock() -> Iterator[Finding]:
    now = time.time()
    if now < OLDEST_TIME:
        yield Finding("wrong", f"the clock says {time.ctime(now)}: set it, or let NTP do it")
        return
    synchronised = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)) != _TIME_ERROR
    said = f"the clock says {time.strftime('%Y-%m-%d %H:%M:%S %z')}"
    if synchronised:
        yield Finding("ok", f"{said} and is kept right")
    else:
        yield Finding("note", f"{said}; nothing keeps it right: install systemd-timesyncd or chrony")


def _running(data: Path) -> Any:
    from mailbell.cli.control import ask

    try:
        return ask(data, "/api/v1/status")
    except MailbellError:
        return None


def _folder(data: Path, running: bool) -> Iterator[Finding]:
    there = next(each for each in (data, *data.absolute().parents) if each.is_dir())
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding("wrong", f"{there} can't be written: give it to the user that mailbell runs as")
        return
    if not running and (data / "lock").exists():
        yield from _lock(data)
    yield _file_system(there)
    found = os.statvfs(there)
    free = found.f_bavail * found.f_frsize
    enough = free >= LOW_SPACE
    room = f"{free / 2**30:.1f} GiB free for {data}"
    yield Finding("ok" if enough else "wrong", room if enough else f"{room}: below 64 MiB mail is refused")
    yield _speed(there)


def _lock(data: Path) -> Iterator[Finding]:
    from mailbell.journal.folder import DataFolder

    try:
        DataFolder(data).close()
    except MailbellError as error:
        yield Finding("wrong", f"{error}; it does not answer over control.sock")


def _file_system(folder: Path) -> Finding:
    kind = _mounted(folder.resolve())
    if kind in _NETWORK:
        return Finding(
            "wrong", f"{folder} is on {kind}: SQLite needs a local disk, so choose one with --data"
        )
    if kind in _VOLATILE:
        return Finding("wrong", f"{folder} is on {kind}, in memory: mail is gone with the next boot")
    return Finding("ok", f"{folder} is on {kind or 'a file system of unknown kind'}")


def _mounted(folder: Path) -> str:
    """The kind of file system that holds a folder; empty where the kernel does not say."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    mounts = [line.split(" ")[1:3] for line in lines]
    holding = [(Path(at.replace("\\040", " ")), kind) for at, kind in mounts]
    return max(
        ((at, kind) for at, kind in holding if folder.is_relative_to(at)),
        key=lambda each: len(each[0].parts),
        default=(folder, ""),
    )[1]


def _speed(folder: Path) -> Finding:
    """How often the disk takes 4 KiB for good: that, or its double, is the number of commits."""
    file, count = folder / f".mailbell-doctor-{os.getpid()}", 0
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        began = time.monotonic()
        while (took := time.monotonic() - began) < MEASURE:
            os.pwrite(handle, os.urandom(4096), 0)
            os.fsync(handle)
            count += 1
    finally:
        os.close(handle)
        file.unlink()
    rate = count / took
    said = f"the disk takes {rate:,.0f} writes a second for good"
    if rate < SLOW:
        return Finding("note", f"{said}: one client gets no more mails through; use an SSD")
    if rate > TOO_FAST:
        return Finding(
            "note", f"{said}: too many to be true, so a power cut may cost mail; see its write cache"
        )
    return Finding("ok", said)


def _port(id_: str, server: IoServerSettings, running: bool) -> Finding:
    from mailbell.server.listener import bind_all

    if running:
        return _greeting(id_, server)
    try:
        for each in bind_all(id_, server.listen, server.port):
            each.close()
    except MailbellError as error:
        return Finding("wrong", str(error))
    return Finding("ok", f"ioservers.{id_}: port {server.port} is free and may be listened on")


def _greeting(id_: str, server: IoServerSettings) -> Finding:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.listen[0], server.listen[0])  # noqa: S104
    if server.tls == "implicit":
        return _connect(f"ioservers.{id_}", host, server.port, "look at the server's log")
    try:
        with socket.create_connection((host, server.port), REACH_WITHIN) as client:
            client.settimeout(REACH_WITHIN)
            said = client.recv(200).decode("ascii", "replace").strip()
    except OSError as error:
        return Finding("wrong", f"ioservers.{id_}: port {server.port}: {error}; look at the server's log")
    good = said.startswith("220") and "mailbell" in said
    what = f"ioservers.{id_}: port {server.port} says {said!r}"
    return Finding(
        "ok" if good else "wrong", what if good else f"{what}: see `allow`, or who else listens there"
    )


def _reach(id_: str, server: IoServerSettings) -> Iterator[Finding]:
    """What keeps other machines out, as far as it can be seen from here."""
    where, port = f"ioservers.{id_}", server.port
    if all(each in ("127.0.0.1", "::1") for each in server.listen):
        yield Finding("note", f'{where}: only this machine reaches it; listen = ["0.0.0.0", "::"] opens it')
    elif _ufw():
        yield Finding("note", f"{where}: ufw is on; `ufw allow {port}/tcp` lets devices in")
    elif Path("/run/firewalld").is_dir():
        rule = f"firewall-cmd --permanent --add-port={port}/tcp && firewall-cmd --reload"
        yield Finding("note", f"{where}: firewalld is on; `{rule}` lets devices in")
    if server.allow == ("loopback",):
        yield Finding("note", f'{where}: allow = ["loopback"] turns other machines away')


def _ufw() -> bool:
    try:
        return "ENABLED=yes" in Path("/etc/ufw/ufw.conf").read_text()
    except OSError:
        return False


def _certificate(id_: str, server: IoServerSettings, data: Path) -> Iterator[Finding]:
    from cryptography import x509

    from mailbell.server.tls import Certificate, TlsContext

    if server.tls == "off":
        return
    own = server.certificate is not None and server.key is not None
    certificate = server.certificate or data / "tls" / "certificate.pem"
    key = server.key or data / "tls" / "key.pem"
    if not own and not certificate.exists():
        yield Finding("ok", f"ioservers.{id_}: a self-signed certificate is made at the first start")
        return
    try:
        TlsContext(Certificate(certificate, key), server.tls_min)
        expiry = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (MailbellError, OSError, ValueError) as error:
        yield Finding("wrong", f"ioservers.{id_}: {error}")
        return
    said = f"ioservers.{id_}: the {'' if own else 'self-signed '}certificate is good until {expiry:%Y-%m-%d}"
    soon = own and expiry - EXPIRES_SOON < datetime.now(UTC)
    yield Finding("wrong" if soon else "ok", f"{said}: renew it" if soon else said)


def _web(listen: str, running: bool) -> Finding:
    host, _, number = listen.rpartition(":")
    host, port = host.strip("[]"), int(number)
    if running:
        return _connect("web", host, port, "look at the server's log")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return Finding("wrong", f"web: {listen}: {reason}; choose another with listen in [web], or --web")
    return Finding("ok", f"web: {listen} is free and may be listened on")


def _sink(name: str, sink: SinkSettings) -> Iterator[Finding]:
    from mailbell.sinks import registry

    found = registry.problems(sink)
    yield from (Finding("wrong", f"sink {name}: {each}") for each in found)
    places = list(_places(sink))
    for host, port in places:
        yield _connect(f"sink {name}", host, port, "is it on, and its address right?")
    if not found and not places:
        yield Finding("ok", f"sink {name}: {sink.describe()}")


def _places(sink: SinkSettings) -> Iterator[tuple[str, int]]:
    """Where a sink connects to."""
    match sink:
        case SmtpSettings():
            yield sink.host, sink.port or (465 if sink.tls == "implicit" else 25)
        case WebhookSettings() | MqttSettings():
            yield _host(sink.url)
        case NatsSettings():
            yield from map(_host, sink.servers)


def _host(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS[parts.scheme]


def _connect(what: str, host: str, port: int, remedy: str) -> Finding:
    try:
        socket.create_connection((host, port), REACH_WITHIN).close()
    except OSError as error:
        reason = error.strerror or str(error)
        return Finding("wrong", f"{what}: {host} port {port} can't be reached: {reason}; {remedy}")
    return Finding("ok", f"{what}: {host} port {port} can be reached")
