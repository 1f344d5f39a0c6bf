"""The OpenAPI document: valid, complete, and true, as schemathesis finds by asking whatever it allows."""

import asyncio
import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import validate
from schemathesis.checks import CHECKS

from tests.tools import ROOT
from tests.web.conftest import Api

ENDLESS = {"/api/v1/events", "/api/v1/monitor", "/api/events"}
NAMES = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]
EXAMPLES = 20


async def test_it_is_valid(api: Api) -> None:
    document = await api.get("/api/v1/openapi.json")
    validate(document)
    assert document["openapi"].startswith("3.1")


async def test_every_operation_says_what_it_does(api: Api) -> None:
    document = await api.get("/api/v1/openapi.json")
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert len({each["operationId"] for each in operations}) == len(operations) > 45
    for each in operations:
        assert each["summary"].endswith("."), each
        assert all(query["description"] for query in each["parameters"] if query["in"] == "query")


async def test_the_page_for_it_shows_them_all(api: Api) -> None:
    document = await api.get("/api/v1/openapi.json")
    status, page = await api.ask("GET", "/api")
    assert status == 200
    assert page.count("<h2") == sum(map(len, document["paths"].values()))
    assert "<script" not in page


async def test_the_docs_name_every_path(api: Api) -> None:
    page = re.sub(r"\{\w+\}", "{}", (ROOT / "docs" / "api.md").read_text("utf-8"))
    document = await api.get("/api/v1/openapi.json")
    for path, operations in document["paths"].items():
        for method in operations:
            place = re.sub(r"\{\w+\}", "{}", path)
            named = f"{method.upper()} {place}"
            assert re.search(rf"{re.escape(named)}[`?]", page), named


async def test_what_schemathesis_makes_of_it(api: Api) -> None:
    """Every operation that ends, some dozen times, with what its document allows."""
    for number in range(3):
        await api.mail(f"n{number}")
    document = await api.get("/api/v1/openapi.json")
    asked = await asyncio.to_thread(_ask_all, document, api.url)
    assert asked > 40


def _ask_all(document: dict[str, Any], url: str) -> int:
    schema = schemathesis.openapi.from_dict(document)
    operations = [_operation(each) for each in schema.get_all_operations()]
    for operation in operations:
        if operation.path not in ENDLESS:
            _ask(operation, url)
    return len(operations)


def _operation(found: Any) -> Any:
    return found.ok()


def _ask(operation: Any, url: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        case.call_and_validate(base_url=url, checks=CHECKS.get_by_names(NAMES), timeout=10)

    ask()


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR")
