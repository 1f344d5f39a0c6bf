"""packaging/grafana.json: what Grafana's own types know, and nothing that /metrics does not have."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.tools import ROOT
from tests.web.test_metrics import of_all

DASHBOARD: dict[str, Any] = json.loads((ROOT / "packaging/grafana.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SOURCE = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}

OF_THE_IMPORT = {"__inputs", "__elements", "__requires", "id"}
UNTYPED = {"builtIn", "definition"}
"""Written by Grafana's own export, but in none of its types."""

OF_PROMETHEUS = {"instance", "job"}
"""The labels that it gives to whatever it scrapes."""


def test_grafana_knows_each_key() -> None:
    plugins.register_default_plugins()
    dashboard = {key: value for key, value in DASHBOARD.items() if key not in OF_THE_IMPORT}
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    assert not list(lost(dashboard, read, ""))


def lost(given: Any, read: Any, path: str) -> Iterator[str]:
    """What was not understood."""
    if isinstance(given, dict):
        for key in given.keys() - UNTYPED:
            yield from lost(given[key], read.get(key), f"{path}.{key}")
    elif isinstance(given, list):
        for number, (one, other) in enumerate(zip(given, read, strict=True)):
            yield from lost(one, other, f"{path}[{number}]")
    elif given != read:
        yield f"{path}: {given!r}, read as {read!r}"


def test_the_import_asks_for_what_it_needs() -> None:
    assert [each["name"] for each in DASHBOARD["__inputs"]] == ["DS_PROMETHEUS"]
    assert DASHBOARD["id"] is None, "Grafana gives it one"
    needed = {each["id"] for each in DASHBOARD["__requires"]}
    assert needed == {"grafana", "prometheus", *(panel["type"] for panel in PANELS)}
    [variable] = DASHBOARD["templating"]["list"]
    for each in (variable, *PANELS, *(target for panel in PANELS for target in panel["targets"])):
        assert each["datasource"] == SOURCE


def test_the_panels_have_their_own_place_and_number() -> None:
    every = DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    for one, other in combinations((panel["gridPos"] for panel in every), 2):
        apart = beside(one, other, "x", "w") or beside(one, other, "y", "h")
        assert apart, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in every)


def beside(one: dict[str, int], other: dict[str, int], at: str, size: str) -> bool:
    return one[at] + one[size] <= other[at] or other[at] + other[size] <= one[at]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel['id']} {panel['title']}")
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0


async def test_each_metric_is_there_and_has_the_labels_used(tmp_path: Path) -> None:
    labels: dict[str, set[str]] = {}
    for name, given in await of_all(tmp_path):
        labels.setdefault(name, set(OF_PROMETHEUS)).update(label for label, _ in given)
    for target in (target for panel in PANELS for target in panel["targets"]):
        for selector, wanted in selectors(target):
            assert selector.name in labels, target["expr"]
            assert wanted <= labels[selector.name], target["expr"]
    [variable] = DASHBOARD["templating"]["list"]
    [(name, label)] = re.findall(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
    assert label in labels[name]


async def test_each_metric_of_ours_is_shown_or_left_out_on_purpose(tmp_path: Path) -> None:
    shown = {each.name for panel in PANELS for target in panel["targets"] for each, _ in selectors(target)}
    ours = {name for name, _ in await of_all(tmp_path) if name.startswith("mailbell_")}
    unshown = {name for name in ours - shown if not re.search("_(count|sum)$|_process_", name)}
    assert unshown == {
        "mailbell_uptime_seconds",
        "mailbell_journal_sequence",
        "mailbell_mails_total",  # the I/O servers' are shown
        "mailbell_mail_octets_total",
        "mailbell_delivery_latency_seconds",  # each sink's is shown
    }


def selectors(target: dict[str, Any]) -> Iterator[tuple[Any, set[str]]]:
    """Each metric of an expression, and the labels that the expression and its legend want of it."""
    expression = promql_parser.parse(target["expr"].replace("$__rate_interval", "5m"))
    found: list[Any] = []
    wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.AggregateExpr):
            kept = node.modifier.labels if node.modifier else []
            assert wanted <= set(kept), f"a legend wants what is summed up: {target}"
            wanted.update(kept)
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(expression, visit)
    for each in found:
        matchers = {matcher.name for matcher in each.matchers.matchers}
        assert "instance" in matchers, target["expr"]
        yield each, wanted | matchers
