"""A Postfix of our own: configuration, queue and log in one folder, beside any that the machine runs."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.tools import SYSTEM_PATH, find

MAIN = {
    "compatibility_level": "3.6",
    "myhostname": "relay.example.com",
    "mydestination": "",
    "mynetworks": "127.0.0.0/8",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "ipv4",
    "alias_maps": "",
    "alias_database": "",
    "local_recipient_maps": "",
    "biff": "no",
    "smtputf8_enable": "no",
}
MASTER = """\
pickup    unix  n - n 1 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""
FOLDERS = dict.fromkeys(
    [
        "active",
        "bounce",
        "corrupt",
        "defer",
        "deferred",
        "flush",
        "hold",
        "incoming",
        "private",
        "saved",
        "trace",
    ],
    0o700,
) | {"maildrop": 0o730, "public": 0o710}
"""The queue's folders and who may enter: the user postfix, and for two of them the group postdrop as well."""
SECONDS = 20


class Postfix:
    """A running Postfix, from `with` to its end. Needs root: its master starts processes as other users."""

    def __init__(self, main: Mapping[str, str], services: Sequence[str] = ()) -> None:
        # Not pytest's tmp_path, for the user postfix has to get in; not /tmp, which may be memory, where an
        # fsync costs nothing.
        self.folder = Path(tempfile.mkdtemp(prefix="postfix-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.log = self.folder / "log"
        self._configure(main, services)
        self._make_queue()

    def _configure(self, main: Mapping[str, str], services: Sequence[str]) -> None:
        places = {
            "queue_directory": self.folder / "queue",
            "data_directory": self.folder / "data",
            "maillog_file": self.log,
            "maillog_file_prefixes": self.folder,
        }
        settings = MAIN | {name: str(path) for name, path in places.items()} | dict(main)
        (self.folder / "etc").mkdir()
        (self.folder / "etc/main.cf").write_text(
            "".join(f"{key} = {value}\n" for key, value in settings.items())
        )
        (self.folder / "etc/master.cf").write_text(MASTER + "".join(f"{line}\n" for line in services))
        # Postfix waits until a file that it reads has not changed for two seconds.
        os.utime(self.folder / "etc/main.cf", (0, 0))

    def _make_queue(self) -> None:
        (self.folder / "queue/pid").mkdir(parents=True)
        (self.folder / "data").mkdir()
        shutil.chown(self.folder / "data", "postfix")
        for name, mode in FOLDERS.items():
            folder = self.folder / "queue" / name
            folder.mkdir()
            shutil.chown(folder, "postfix", "postdrop")
            folder.chmod(mode)

    def __enter__(self) -> "Postfix":
        # The master itself rather than `postfix start`: a child that we can wait for, and at once.
        daemons = Path(self.command("postconf", "-h", "daemon_directory").strip())
        self.master = subprocess.Popen(
            [daemons / "master", "-c", self.folder / "etc", "-d"],
            stdin=subprocess.DEVNULL,
            env=os.environ | {"PATH": SYSTEM_PATH},
            start_new_session=True,  # it ends its group when it ends
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.master.terminate()
        self.master.wait(SECONDS)
        shutil.rmtree(self.folder)

    def command(self, name: str, *arguments: str, stdin: bytes = b"") -> str:
        """Run one of Postfix's commands on this instance and return what it prints."""
        which = "-C" if name == "sendmail" else "-c"
        done = subprocess.run(
            [find(name) or name, which, str(self.folder / "etc"), *arguments],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PATH": SYSTEM_PATH},
            timeout=SECONDS,
            check=False,
        )
        output = done.stdout.decode()
        if done.returncode != 0:
            raise OSError(f"{name} {' '.join(arguments)}: exit status {done.returncode}\n{output}")
        return output

    def send(self, sender: str, recipient: str, message: bytes) -> tuple[bool, str]:
        """Queue a message as a local user would; then say whether it was sent, with the log."""
        self.command("sendmail", "-f", sender, "-i", recipient, stdin=message)
        deadline = time.monotonic() + SECONDS
        while not (outcome := re.search(r" status=(\w+)", self.logged())) and time.monotonic() < deadline:
            time.sleep(0.02)  # another program's log: there is nothing to wait on but the file
        return outcome is not None and outcome[1] == "sent", self.logged()

    def logged(self) -> str:
        """Return the log so far."""
        return self.log.read_text() if self.log.exists() else ""
