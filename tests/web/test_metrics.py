"""The figures for Prometheus, read by its own parser, and their table in the docs."""

import asyncio
import re
from pathlib import Path

import aiosmtplib
import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from mailbell.settings import WebhookSettings
from tests.sinks.receiver import answer, receiving
from tests.tools import ROOT
from tests.web.conftest import Api, serving, settings

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

ENDED = "mailbell_ioserver_connections_total"


async def samples(api: Api) -> Samples:
    async with api.http.get(f"{api.url}/metrics") as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        return parsed(await response.text())


def parsed(text: str) -> Samples:
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(each.name, frozenset(each.labels.items())): each.value for each in found}


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


async def of_all(folder: Path) -> Samples:
    """All figures that there are.

    Three mails came, the sink has given up one of them; one client was refused something, one just went.
    """
    async with receiving() as receiver:
        receiver.plan.append(answer(400, "never"))
        sinks = {"hook": WebhookSettings(url=receiver.url)}
        async with serving(replace(settings(folder), sinks=sinks)) as api:
            for number in range(3):
                await api.mail(f"n{number}")
            async with aiosmtplib.SMTP(hostname="127.0.0.1", port=api.smtp, start_tls=False) as client:
                for line in (b"DATA", b"HELO x", b"WHO", b"WHERE"):
                    await client.execute_command(line)
            _, writer = await asyncio.open_connection("127.0.0.1", api.smtp)
            writer.close()
            return await when_settled(api, connections=5)


async def when_settled(api: Api, connections: int) -> Samples:
    """Once the sink has had all, and so many connections have ended."""
    async with asyncio.timeout(10):
        while True:
            found = await samples(api)
            ended = sum(count for (name, _), count in found.items() if name == ENDED)
            if ended == connections and not value(found, "mailbell_sink_lag", sink="hook"):
                return found
            await asyncio.sleep(0.01)


async def test_what_has_happened_is_counted(tmp_path: Path) -> None:
    found = await of_all(tmp_path)
    assert value(found, "mailbell_mails_total") == 3
    assert value(found, "mailbell_mail_octets_total") > 300
    assert value(found, "mailbell_journal_sequence") == 3
    assert value(found, "mailbell_taking_mail") == 1
    assert value(found, "mailbell_ha_active", mode="single") == 1
    assert value(found, "mailbell_disk_free_octets") > 2**20
    assert value(found, "mailbell_connections_failed_last_hour") == 2
    assert value(found, "mailbell_append_latency_seconds_count") == 3
    assert value(found, "mailbell_append_latency_seconds_bucket", le="+Inf") == 3
    assert 0 < value(found, "mailbell_append_latency_seconds_sum") < 10
    for process in ("", "mailbell_receiving_"):
        assert value(found, f"{process}process_resident_memory_bytes") > 10**7


async def test_each_io_server_has_its_figures(tmp_path: Path) -> None:
    found = await of_all(tmp_path)
    assert value(found, "mailbell_slots", ioserver="smtp") == 4
    for state in ("served", "waiting"):
        assert value(found, "mailbell_connections", ioserver="smtp", state=state) == 0
    assert value(found, "mailbell_ioserver_mails_total", ioserver="smtp") == 3
    assert value(found, "mailbell_ioserver_octets_total", ioserver="smtp") > 300
    for result, count in {"with_mail": 3, "refused": 1, "without": 1}.items():
        assert value(found, ENDED, ioserver="smtp", result=result) == count
    for code, count in {"500": 2, "503": 1}.items():
        assert value(found, "mailbell_ioserver_refusals_total", ioserver="smtp", code=code) == count


async def test_each_sink_has_its_figures(tmp_path: Path) -> None:
    found = await of_all(tmp_path)
    assert value(found, "mailbell_sink_delivered_total", sink="hook") == 2
    assert value(found, "mailbell_sink_retried_total", sink="hook") == 0
    assert value(found, "mailbell_sink_parked", sink="hook") == 1
    for state, held in {"up": 1, "down": 0, "paused": 0, "standby": 0}.items():
        assert value(found, "mailbell_sink_state", sink="hook", state=state) == held
    assert 0 < value(found, "mailbell_delivery_latency_seconds", quantile="0.99") < 10
    assert value(found, "mailbell_sink_latency_seconds_count", sink="hook") == 2
    assert value(found, "mailbell_sink_latency_seconds_bucket", sink="hook", le="3600.0") == 2
    assert 0 < value(found, "mailbell_sink_latency_seconds_sum", sink="hook") < 10


async def test_the_docs_name_each_of_them(tmp_path: Path) -> None:
    found = {re.sub("_(bucket|count|sum)$", "", name) for name, _ in await of_all(tmp_path)}
    of_receiving = {name for name in found if name.startswith("mailbell_receiving_process_")}
    assert of_receiving
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    shown = set(re.findall(r"`(mailbell_\w+)`", page))
    assert {name for name in found - of_receiving if name.startswith("mailbell_")} == shown


async def test_without_sinks_and_mail(api: Api) -> None:
    found = await samples(api)
    assert value(found, "mailbell_mails_total") == 0
    assert value(found, "mailbell_append_latency_seconds_count") == 0
    assert value(found, ENDED, ioserver="smtp", result="with_mail") == 0
    with pytest.raises(KeyError):
        value(found, "mailbell_delivery_latency_seconds", quantile="0.5")
