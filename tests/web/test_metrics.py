"""The figures for Prometheus, read by its own parser, and their table in the docs."""

import asyncio
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mailbell.settings import ServiceSettings, WebhookSettings
from tests.sinks.receiver import answer, receiving
from tests.tools import ROOT
from tests.web.conftest import Api, serving, settings

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def samples(api: Api) -> Samples:
    async with api.http.get(f"{api.url}/metrics") as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        families = text_string_to_metric_families(await response.text())
    found = [sample for family in families for sample in family.samples]
    return {(each.name, frozenset(each.labels.items())): each.value for each in found}


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


async def test_what_has_happened_is_counted(tmp_path: Path) -> None:
    async with receiving() as receiver:
        plain = settings(tmp_path)
        fields = {name: getattr(plain, name) for name in plain.__struct_fields__}
        sinks = {"hook": WebhookSettings(url=receiver.url)}
        async with serving(ServiceSettings(**{**fields, "sinks": sinks})) as api:
            receiver.plan.append(answer(400, "never"))
            for number in range(3):
                await api.mail(f"n{number}")
            async with asyncio.timeout(10):
                while value(await samples(api), "mailbell_sink_lag", sink="hook"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            found = await samples(api)
    assert value(found, "mailbell_mails_total") == 3
    assert value(found, "mailbell_mail_octets_total") > 300
    assert value(found, "mailbell_journal_sequence") == 3
    assert value(found, "mailbell_taking_mail") == 1
    assert value(found, "mailbell_sink_delivered_total", sink="hook") == 2
    assert value(found, "mailbell_sink_parked", sink="hook") == 1
    assert value(found, "mailbell_sink_state", sink="hook", state="up") == 1
    assert value(found, "mailbell_sink_state", sink="hook", state="paused") == 0
    assert value(found, "mailbell_connections", ioserver="smtp", state="waiting") == 0
    assert 0 < value(found, "mailbell_delivery_latency_seconds", quantile="0.99") < 10
    shown = re.findall(r"`(mailbell_\w+)`", (ROOT / "docs/operations.md").read_text("utf-8"))
    assert {name for name, _ in found if name.startswith("mailbell")} == set(shown)
    assert value(found, "process_resident_memory_bytes") > 10**7


async def test_without_sinks_and_mail(api: Api) -> None:
    found = await samples(api)
    assert value(found, "mailbell_mails_total") == 0
    with pytest.raises(KeyError):
        value(found, "mailbell_delivery_latency_seconds", quantile="0.5")
