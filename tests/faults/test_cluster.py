"""Two nodes and their JetStream servers, under load, while one or the other is killed, stopped or cut off.

A script on each node writes down who got which event and when. What is held to: every mail that got its 250
is there, and from the moment that another node is active nothing is written by the one that was.
"""

import asyncio
import json
import os
import random
import re
import signal
import smtplib
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from tests.e2e.test_kill import more, send_for_ever
from tests.natsd import NatsCluster, clustered, running
from tests.proxy import Proxy, proxied
from tests.service import Service, start
from tests.tools import free_port

LEASE = 2.0
WITHIN = 2.0
"""Seconds until another node is active, beyond the lease."""

PATIENCE = 90.0
CLIENTS = 2
REST = 0.03
"""Of each node: clients, and seconds between two mails of one."""

LINE = re.compile(r"^(\S+) (n\d) (n\d-c\d-\d+)$", re.MULTILINE)
"""What the script has written for a mail of the load, and not in its test-run."""

SCRIPT = """
import time

def on_mail(event):
    with open({path!r}, "a") as file:
        file.write("%.3f {node} %s\\n" % (time.time(), event["subject"]))

def haActiveEvent(active):
    messageLog("told: %s %s" % (active, haActive()))
"""

CONFIG = """
data = "data"
processes = {processes}
[ioservers.smtp]
port = {port}
listen = ["127.0.0.1"]
{ioserver}
[journal]
engine = "jetstream"
url = "{url}"
replicas = {replicas}
synced = true
[ha]
mode = "{mode}"
lease = "{lease:g}s"
node = "{name}"
[web]
listen = "127.0.0.1:{web}"
[sinks.note]
type = "script"
path = "note.py"
"""


class Delivered(msgspec.Struct, frozen=True):
    at: float
    node: str
    subject: str


class Node:
    """A `mailbell serve` of its own data folder, and the links that it has."""

    def __init__(self, name: str, folder: Path, links: Sequence[Proxy]) -> None:
        self.name = name
        self.links = links
        self.port, self.web = free_port(), free_port()
        self.folder = folder / name
        self.lines: list[str] = []
        self.service: Service

    def configure(self, seen: Path, **how: object) -> None:
        self.folder.mkdir()
        (self.folder / "note.py").write_text(SCRIPT.format(path=str(seen), node=self.name))
        url = ",".join(f"nats://127.0.0.1:{each.port}" for each in self.links)
        values = {
            "mode": "active-standby",
            "lease": LEASE,
            "ioserver": "",
            "replicas": 1,
            "processes": 2,
        } | how
        text = CONFIG.format(port=self.port, web=self.web, name=self.name, url=url, **values)
        (self.folder / "mailbell.toml").write_text(text)

    async def start(self) -> None:
        self.service = await start(self.folder / "mailbell.toml", self.port)

    async def up(self) -> None:
        await self.service.line(r"send a first mail")

    async def kill(self) -> None:
        if self.service.process.returncode is None:
            await self.service.kill()
        self.lines += self.service.lines

    def stop_and_go(self, signum: signal.Signals) -> None:
        """Both of its processes: the script's goes on."""
        for pid in (self.service.process.pid, *_children(self.service.process.pid)):
            os.kill(pid, signum)

    @property
    def active_since(self) -> list[float]:
        """When it has become active, in this life and those before."""
        said = [*self.lines, *(self.service.lines if self.service.lines is not self.lines else [])]
        found = (re.match(rf"(\S+ \S+) - {self.name} is active", line) for line in said)
        return [_moment(each[1]) for each in found if each]

    async def ask(self, path: str) -> tuple[int, object]:
        return await asyncio.to_thread(_get, f"http://127.0.0.1:{self.web}{path}")

    async def is_active(self) -> bool:
        try:
            _, found = await self.ask("/api/v1/ha")
        except OSError:
            return False
        assert isinstance(found, dict)
        return bool(found["active"])


def _moment(written: str) -> float:
    """A line's time, which is local."""
    return datetime.strptime(written, "%Y.%m.%d %H:%M:%S.%f").astimezone().timestamp()


def _children(pid: int) -> list[int]:
    """The delivering process."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in found if b"mailbell.child" in Path(f"/proc/{each}/cmdline").read_bytes()]


def _get(url: str) -> tuple[int, object]:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status, _body(response.read())
    except urllib.error.HTTPError as error:
        return error.code, _body(error.read())


def _body(text: bytes) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode()


class House:
    """Nodes, the load on them, and what their scripts have written down."""

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        self.seen = folder / "seen"
        self.folder = folder
        self.ports = ports
        self.nodes: list[Node] = []
        self.acknowledged: set[str] = set()
        self._load: list[asyncio.Task[None]] = []

    async def begin(
        self, stack: AsyncExitStack, configured: Callable[["House"], None], **how: object
    ) -> None:
        for name in ("n1", "n2"):
            links = [await stack.enter_async_context(proxied(port)) for port in self.ports]
            node = Node(name, self.folder, links)
            node.configure(self.seen, **how)
            self.nodes.append(node)
        configured(self)
        for node in self.nodes:
            await node.start()
            stack.push_async_callback(node.kill)
        for node in self.nodes:
            await node.up()

    def load(self) -> None:
        self._load = [
            asyncio.create_task(send_for_ever(node.port, f"{node.name}-c{number}", self.acknowledged, REST))
            for node in self.nodes
            for number in range(CLIENTS)
        ]

    async def rest(self) -> None:
        for task in self._load:
            task.cancel()
        await asyncio.wait(self._load)

    def deliveries(self) -> list[Delivered]:
        if not self.seen.exists():
            return []
        found = LINE.findall(self.seen.read_text())
        return [Delivered(float(at), node, subject) for at, node, subject in found]

    async def active(self) -> Node:
        """The node that is active, waited for."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for node in self.nodes:
                    if await node.is_active():
                        return node
                await asyncio.sleep(0.05)

    async def taken_over(self, by: Node, before: int) -> float:
        """Wait until this node has become active once more; when that was."""
        async with asyncio.timeout(PATIENCE):
            while len(by.active_since) <= before:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return by.active_since[-1]

    async def delivers(self, node: Node, since: float) -> None:
        async with asyncio.timeout(PATIENCE):
            while not any(each.node == node.name and each.at > since for each in self.deliveries()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def delivers_mail(self, subject: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while not any(each.subject == subject for each in self.deliveries()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def everything(self) -> None:
        """All that got its 250 is delivered."""
        try:
            async with asyncio.timeout(PATIENCE):
                while self.acknowledged - {each.subject for each in self.deliveries()}:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        except TimeoutError:
            lost = self.acknowledged - {each.subject for each in self.deliveries()}
            said = [line for node in self.nodes for line in node.service.lines if "IO MONITOR" not in line]
            pytest.fail(
                f"lost {sorted(lost)[:5]}… {len(lost)} of {len(self.acknowledged)}\n" + "\n".join(said[-40:])
            )
        assert not [line for node in self.nodes for line in node.service.lines if "is parked" in line]

    def check_terms(self) -> None:
        """From the moment that a node becomes active, no other delivers until it becomes so itself."""
        terms = sorted((at, node.name) for node in self.nodes for at in node.active_since)
        for each in self.deliveries():
            begun = [name for at, name in terms if at < each.at + 0.002]
            assert begun, f"{each} before anybody was active"
            assert begun[-1] == each.node, f"{each} in the term of {begun[-1]}: {terms}"


@asynccontextmanager
async def house(
    folder: Path, ports: Sequence[int], configured: Callable[[House], None] = lambda _: None, **how: object
) -> AsyncIterator[House]:
    """`configured` may write more into the nodes' files before they start."""
    async with AsyncExitStack() as stack:
        made = House(folder, ports)
        await made.begin(stack, configured, **how)
        yield made


async def kill(house: House, node: Node, other: Node) -> float:
    at, before = time.time(), len(other.active_since)
    await node.kill()
    taken = await house.taken_over(other, before)
    await node.start()
    await node.up()
    return taken - at


async def stop_and_go_on(house: House, node: Node, other: Node) -> float:
    at, before = time.time(), len(other.active_since)
    node.stop_and_go(signal.SIGSTOP)
    taken = await house.taken_over(other, before)
    await house.delivers(other, taken)
    node.stop_and_go(signal.SIGCONT)
    return taken - at


async def cut(house: House, node: Node, other: Node) -> float:
    at, before = time.time(), len(other.active_since)
    for link in node.links:
        link.cut()
    taken = await house.taken_over(other, before)
    await house.delivers(other, taken)
    for link in node.links:
        link.heal()
    return taken - at


FAULTS = (kill, stop_and_go_on, cut)


async def fail_over(house: House, times: int) -> list[float]:
    """So many times, of each kind in turn; how long each took."""
    took = []
    for number in range(times):
        node = await house.active()
        other = next(each for each in house.nodes if each is not node)
        await more(house.acknowledged, 5)
        await asyncio.sleep(random.uniform(0, 0.5))  # the moment is random: nothing to await
        took.append(await FAULTS[number % len(FAULTS)](house, node, other))
        await house.delivers(other, time.time() - 0.1)
    return took


@pytest.mark.parametrize(
    ("times", "which", "slack"),
    [
        (3, "wheel", 6.0),
        pytest.param(50, "wheel", WITHIN, marks=pytest.mark.faults),
        pytest.param(50, "debian", WITHIN, marks=pytest.mark.faults),
    ],
)
async def test_failovers_under_load(tmp_path: Path, times: int, which: str, slack: float) -> None:
    async with running(tmp_path, which=which) as server, house(tmp_path, [server.port]) as nodes:
        await nodes.active()
        nodes.load()
        took = await fail_over(nodes, times)
        await nodes.rest()
        await nodes.everything()
        nodes.check_terms()
        print(
            f"{which}: {times} failovers in {max(took):.2f} s at most, {sum(took) / times:.2f} s on average"
        )
        assert max(took) <= LEASE + slack, took


STREAMS = tuple(
    f"{prefix}MAILBELL{suffix}" for prefix, suffix in (("", ""), ("", "_STATE"), ("KV_", "_LEASE"))
)


async def whole(cluster: NatsCluster) -> None:
    """Every server has all of it again."""
    await cluster.whole(*STREAMS)


async def answers(house: House, path: str, status: int) -> None:
    """Wait until all nodes answer like this."""
    async with asyncio.timeout(PATIENCE):
        for node in house.nodes:
            while (await node.ask(path))[0] != status:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("which", "rolled"),
    [
        ("wheel", 1),
        pytest.param("wheel", 3, marks=pytest.mark.faults),
        pytest.param("debian", 3, marks=pytest.mark.faults),
    ],
)
async def test_servers_killed_and_restarted_under_load(tmp_path: Path, which: str, rolled: int) -> None:
    """One: hardly a mail is refused. Two: 451 until one is back. Then all in turn, as for an upgrade."""
    async with clustered(tmp_path, which) as cluster:
        ports = [server.port for server in cluster.servers]
        async with house(tmp_path, ports, replicas=3, lease=10.0) as nodes:
            await nodes.active()
            await whole(cluster)
            nodes.load()
            await more(nodes.acknowledged, 50)

            await cluster.servers[0].kill()
            await more(nodes.acknowledged, 100)
            await cluster.servers[0].start()
            await whole(cluster)

            for server in cluster.servers[:2]:
                await server.kill()
            await answers(nodes, "/readyz", 503)
            said = await asyncio.to_thread(_refused, nodes.nodes[0].port)
            assert said.startswith("451 4.3.0"), said
            for server in cluster.servers[:2]:
                await server.start()
            await answers(nodes, "/readyz", 200)
            await more(nodes.acknowledged, 100)
            await whole(cluster)

            for server in cluster.servers[:rolled]:
                await server.stop()
                await more(nodes.acknowledged, 20)
                await server.start()
                await whole(cluster)
            await more(nodes.acknowledged, 20)
            await nodes.rest()
            await nodes.everything()
            nodes.check_terms()


def _refused(port: int) -> str:
    """What a client is told that wants to send a mail."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo()
        code, text = client.mail("a@lan")
        if code == 250:
            client.rcpt("b@lan")
            code, text = client.data(b"Subject: n0-c0-0\r\n\r\n")
        return f"{code} {text.decode()}"
