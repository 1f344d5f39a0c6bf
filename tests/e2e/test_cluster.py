"""Two nodes as their operator sees them: who is active, what scripts and clients hear of it, handovers."""

import asyncio
import json
import shutil
import smtplib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mailbell.cli.main import commands
from tests.faults.test_cluster import House, Node, house
from tests.natsd import connected, running
from tests.service import serving

PATIENCE = 60.0

EVENTS = """
[sinks.events]
type = "script"
path = "rules.txt"
"""
RULES = """
HAACTIVE : { messageLog("rule: active " + haActive()) }
function haActiveEvent(active) : { messageLog("callback: " + active + " " + haActive()) }
"""


def takes_mail(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            return client.noop()[0] == 250
    except OSError:
        return False


async def until_it_takes_mail(port: int, expected: bool) -> None:
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(takes_mail, port) is not expected:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def stands(of: Node, **expected: object) -> None:
    """Wait until the node says so of itself."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = (await of.ask("/api/v1/ha"))[1]
            assert isinstance(found, dict)
            if expected.items() <= found.items():
                return
            await asyncio.sleep(0.05)


def add_rules(nodes: House) -> None:
    for node in nodes.nodes:
        (node.folder / "rules.txt").write_text(RULES)
        config = node.folder / "mailbell.toml"
        config.write_text(config.read_text() + EVENTS)


@asynccontextmanager
async def one_and_other(folder: Path) -> AsyncIterator[tuple[Node, Node]]:
    """Of two nodes the active one, and the one that stands by and takes no mail."""
    async with (
        running(folder) as server,
        house(folder, [server.port], ioserver="shutdown_when_inactive = true", configured=add_rules) as nodes,
    ):
        one = await nodes.active()
        yield one, next(each for each in nodes.nodes if each is not one)


async def test_a_handover_closes_one_server_and_opens_the_other(tmp_path: Path) -> None:
    async with one_and_other(tmp_path) as (one, other):
        await until_it_takes_mail(one.port, True)
        assert not await asyncio.to_thread(takes_mail, other.port)
        await other.service.line("I/O server smtp: closed until this node is active")
        await one.service.line("rule: active true")
        await one.service.line("callback: true true")
        await stands(other, mode="active-standby", active=False, node=other.name, holder=one.name)
        await stands(one, mode="active-standby", active=True, node=one.name, holder=one.name)
        assert (await other.ask("/readyz"))[0] == 200, "it can take over"
        said = await asyncio.to_thread(
            CliRunner().invoke, commands, ["status", "-c", str(other.folder / "mailbell.toml")]
        )
        assert f"node {other.name}: stands by, {one.name} is active; active-standby, since 20" in said.output
        assert "I/O server smtp: closed; 0 served" in said.output

        began = asyncio.get_running_loop().time()
        assert await one.service.stop() == 0
        await other.service.line("rule: active true")
        assert asyncio.get_running_loop().time() - began < PATIENCE
        await until_it_takes_mail(other.port, True)
        await until_it_takes_mail(one.port, False)

        await one.start()
        await one.service.line("closed until this node is active")
        other.service.process.kill()
        await one.service.line("rule: active true")
        await until_it_takes_mail(one.port, True)


async def test_who_is_cut_off_tells_its_scripts_and_closes(tmp_path: Path) -> None:
    async with one_and_other(tmp_path) as (one, other):
        for link in one.links:
            link.cut()
        await one.service.line("callback: false false")
        await until_it_takes_mail(one.port, False)
        await until_it_takes_mail(other.port, True)
        for link in one.links:
            link.heal()
        await other.service.line("callback: true true")


async def check(folder: Path, *lines: str) -> Result:
    config = folder / "mailbell.toml"
    config.write_text('[journal]\nengine = "jetstream"\n' + "\n".join(lines))
    return await asyncio.to_thread(CliRunner().invoke, commands, ["check", "-c", str(config)])


async def test_check_says_what_is_wrong_with_the_cluster(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        url = f'url = "{server.url}"'
        found = await check(tmp_path, url)
        assert found.exit_code == 2
        assert "replicas = 3" in found.stderr
        assert "is no cluster; start more servers, or set replicas = 1" in found.stderr
        found = await check(tmp_path, url, "replicas = 1")
        assert found.exit_code == 0, found.output
        assert "mind: the stream MAILBELL has one replica" in found.stdout
        assert "a power cut can lose mail that got its 250" in found.stdout
        found = await check(tmp_path, url, "replicas = 1", "synced = true")
        assert "power cut" not in found.stdout
    found = await check(tmp_path, url, "replicas = 1")
    assert found.exit_code == 2
    assert "Connect call failed" in found.stderr


async def test_a_data_folder_moves_into_the_cluster(tmp_path: Path) -> None:
    """What a sink has not had is delivered, what it has had is no news; called again, it goes on."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    script = "def on_mail(event):\n    messageLog('note: ' + event['subject'])\n"
    sink = '[sinks.note]\ntype = "script"\npath = "note.py"'
    async with serving(old, sink, note__py=script) as service:
        for number in range(3):
            await asyncio.to_thread(send, service.port, f"had {number}")
        await service.line("note: had 2")
    async with serving(old, sink.replace("note.py", "no.py"), no__py="1/0") as service:
        await asyncio.to_thread(send, service.port, "not had")
        await service.line("not every sink came up|is not up")
    async with running(tmp_path) as server:
        cluster = f'[journal]\nengine = "jetstream"\nurl = "{server.url}"\nreplicas = 1\nsynced = true'
        ha = '[ha]\nlease = "1s"'
        async with serving(new, f"{cluster}\n{ha}\n{sink}", note__py=script) as service:
            await service.line("is active")
            command = ["import", "-c", str(new / "mailbell.toml"), str(old / "data")]
            found = await asyncio.to_thread(CliRunner().invoke, commands, command)
            assert found.exit_code == 0, found.output
            assert "4 imported" in found.output
            await service.line("note: not had")
            found = await asyncio.to_thread(CliRunner().invoke, commands, command)
            assert "0 imported; 4 were imported before" in found.output
            assert not [line for line in service.lines if "note: had" in line]


def send(port: int, subject: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.sendmail("a@lan", ["b@lan"], f"Subject: {subject}\r\n\r\ntext\r\n".encode())


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_stream_that_is_replaced_under_a_node(tmp_path: Path, processes: int) -> None:
    """With two processes the delivering one begins anew; with one the service manager has to start it."""
    async with running(tmp_path) as server, house(tmp_path, [server.port], processes=processes) as nodes:
        one = await nodes.active()
        nodes.load()
        async with asyncio.timeout(PATIENCE):
            while len(nodes.deliveries()) < 5:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await nodes.rest()
        async with connected(server) as client:
            await client.jetstream().delete_stream("MAILBELL")
        await one.service.line("the stream MAILBELL (is gone|is another one)")
        if processes == 1:
            assert await one.service.ended() == 1
            return
        await one.service.line("the delivering process has died")
        await asyncio.to_thread(send_until_taken, one.port, "n1-c1-999999")
        await nodes.delivers_mail("n1-c1-999999")
        async with asyncio.timeout(PATIENCE):
            while json.dumps(await one.ask("/api/v1/messages")).count("n1-c1-999999") != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_the_bucket_of_the_lease_is_deleted(tmp_path: Path) -> None:
    """Who was active is so until its time is over, and nobody else before that."""
    async with running(tmp_path) as server, house(tmp_path, [server.port]) as nodes:
        one = await nodes.active()
        before = len(nodes.nodes[0].active_since) + len(nodes.nodes[1].active_since)
        nodes.load()
        async with connected(server) as client:
            await client.jetstream().delete_stream("KV_MAILBELL_LEASE")
        await one.service.line("is no longer active")
        async with asyncio.timeout(PATIENCE):
            while sum(len(each.active_since) for each in nodes.nodes) == before:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await nodes.rest()
        await nodes.everything()
        nodes.check_terms()


async def test_a_server_that_comes_back_empty(tmp_path: Path) -> None:
    """All that it had is lost; what comes from now on is not."""
    async with running(tmp_path) as server, house(tmp_path, [server.port]) as nodes:
        await nodes.active()
        await asyncio.to_thread(send, nodes.nodes[0].port, "n1-c1-1")
        await nodes.delivers_mail("n1-c1-1")
        await server.kill()
        shutil.rmtree(tmp_path / "store")
        await server.start()
        for node in nodes.nodes:
            await node.service.line("the stream MAILBELL (is gone|is another one)")
        for node in nodes.nodes:
            await until_it_takes_mail(node.port, True)
            await asyncio.to_thread(send_until_taken, node.port, f"{node.name}-c1-2")
            await nodes.delivers_mail(f"{node.name}-c1-2")


def send_until_taken(port: int, subject: str) -> None:
    """As a client with a queue does."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            send(port, subject)
        except (smtplib.SMTPException, OSError):
            time.sleep(0.2)
        else:
            return
