"""What the servers are put through: the scenarios as data, and the mailbells that only some of them need."""

import json
import time
import urllib.request
from collections.abc import Sequence
from typing import NamedTuple
from urllib.error import URLError

from bench.fill import fill
from bench.load import KEPT, Load
from bench.peer import Peer
from bench.peers import PEERS, AiosmtpdFiles, Mailbell, Mailpit, Postfix, SmtpSink
from tests.tools import free_port

MB = 1_000_000


class MailbellInbox(Mailbell):
    """mailbell with its page and an inbox, of so many mails from the start."""

    name = "mailbell + inbox"
    mails = 0

    def __init__(self) -> None:
        super().__init__()
        self.web = free_port()

    def config(self) -> str:
        return f'{super().config()}[web]\nlisten = "127.0.0.1:{self.web}"\n'

    def start(self) -> None:
        fill(self.folder / "data", self.mails)
        super().start()
        while self.indexed() < self.mails:
            time.sleep(0.1)

    def indexed(self) -> int:
        """Return how many mails the inbox has; -1 while its web server is not up yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.web}/api/v1/info", timeout=60) as answer:
                return int(json.load(answer)["Messages"])
        except URLError:
            return -1

    def count(self) -> int | None:
        taken = super().count()
        return taken and taken - self.mails


class Mailbell100000(MailbellInbox):
    name = "mailbell + inbox of 100,000"
    mails = 100_000


class Mailbell1000000(MailbellInbox):
    name = "mailbell + inbox of 1,000,000"
    mails = 1_000_000


DURABLE: list[type[Peer]] = [Mailbell, AiosmtpdFiles, Postfix, Mailpit]
INBOXES: list[type[Peer]] = [MailbellInbox, Mailbell100000, Mailbell1000000]


class Scenario(NamedTuple):
    """A load, and whom it is put on."""

    title: str
    load: Load
    peers: Sequence[type[Peer]] = PEERS
    short: Sequence[type[Peer]] = ()
    """On whom it is put in the short form."""


SCENARIOS = {
    "new": Scenario("a new connection for each mail", Load(), short=PEERS),
    "kept": Scenario("kept connections", KEPT, short=PEERS),
    "steady": Scenario("100 mails/s, new connections", Load(rate=100), short=DURABLE),
    "big": Scenario(
        "10 MB, 4 kept connections", Load(4, 10 * MB, keep=True), short=[Mailbell, SmtpSink, Postfix]
    ),
    "one": Scenario("1 client, kept connection", Load(1, keep=True)),
    "four": Scenario("4 clients, kept connections", Load(4, keep=True)),
    "many": Scenario("200 clients, kept connections", Load(200, keep=True)),
    "attachment": Scenario("30 KB with a picture, new connections", Load(octets=30_000, attached=True)),
    "bursts": Scenario("4 cameras, bursts of 8 mails of 30 KB", Load(4, 30_000, attached=True, burst=8)),
    "inbox": Scenario("kept connections, beside an inbox", KEPT, INBOXES),
}
