"""`/metrics` as an operator has it scraped: figures of both processes, and of each node of a cluster."""

import asyncio
import urllib.request
from pathlib import Path

import aiosmtplib
import pytest

from tests.faults.test_cluster import house
from tests.natsd import running
from tests.service import start
from tests.tools import free_port
from tests.web.test_metrics import Samples, parsed, value

PATIENCE = 60.0

CONFIG = """
data = "data"
processes = {processes}
[web]
listen = "127.0.0.1:{web}"
[ioservers.open]
port = {open}
listen = ["127.0.0.1"]
threads = 7
[ioservers.locked]
port = {locked}
listen = ["127.0.0.1"]
auth = "required"
users = "users"
"""


def metrics(port: int) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        return parsed(response.read().decode())


async def send(port: int) -> None:
    await aiosmtplib.send(
        "Subject: x\r\n\r\nx\r\n",
        sender="a@lan",
        recipients=["b@lan"],
        hostname="127.0.0.1",
        port=port,
        start_tls=False,
        timeout=PATIENCE,
    )


async def until(port: int, name: str, expected: float, **labels: str) -> Samples:
    """The figures once this one is so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await asyncio.to_thread(metrics, port)
            if value(found, name, **labels) == expected:
                return found
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("processes", [1, 2])
async def test_the_receiving_process_tells_its_figures(
    tmp_path: Path, users_file: Path, processes: int
) -> None:
    ports = {"web": free_port(), "open": free_port(), "locked": free_port()}
    config = tmp_path / "mailbell.toml"
    config.write_text(CONFIG.format(processes=processes, **ports))
    service = await start(config)
    await service.line("API on")
    for _ in range(2):
        await send(ports["open"])
    with pytest.raises(aiosmtplib.SMTPException, match="Authentication required"):
        await send(ports["locked"])
    await until(ports["web"], "mailbell_ioserver_connections_total", 1, ioserver="locked", result="refused")
    found = await until(
        ports["web"], "mailbell_ioserver_connections_total", 2, ioserver="open", result="with_mail"
    )
    assert value(found, "mailbell_slots", ioserver="open") == 7
    assert value(found, "mailbell_ioserver_mails_total", ioserver="open") == 2
    assert value(found, "mailbell_ioserver_mails_total", ioserver="locked") == 0
    assert value(found, "mailbell_ioserver_refusals_total", ioserver="locked", code="530") == 1
    assert value(found, "mailbell_append_latency_seconds_count") == 2
    started = "process_start_time_seconds"
    assert (value(found, started) == value(found, f"mailbell_receiving_{started}")) is (processes == 1)
    assert value(found, "mailbell_receiving_process_resident_memory_bytes") > 10**7
    assert await service.stop() == 0


@pytest.mark.parametrize("processes", [1, 2])
async def test_the_nodes_of_a_cluster_tell_who_is_active(tmp_path: Path, processes: int) -> None:
    async with running(tmp_path) as server, house(tmp_path, [server.port], processes=processes) as nodes:
        active = await nodes.active()
        [other] = [each for each in nodes.nodes if each is not active]
        await send(other.port)
        found = await asyncio.to_thread(metrics, other.web)
        assert value(found, "mailbell_append_latency_seconds_count") == 1
        assert value(found, "mailbell_ioserver_mails_total", ioserver="smtp") == 1
        assert value(found, "mailbell_ha_active", mode="active-standby") == 0
        found = await until(active.web, "mailbell_sink_delivered_total", 1, sink="note")
        assert value(found, "mailbell_sink_latency_seconds_count", sink="note") == 1
        assert value(found, "mailbell_append_latency_seconds_count") == 0, "the other node has taken it"
        assert value(found, "mailbell_ha_active", mode="active-standby") == 1
