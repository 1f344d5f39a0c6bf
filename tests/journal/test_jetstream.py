"""The engine in JetStream: the conformance suite on the oldest and the newest server, and what is its own."""

from collections.abc import Iterator

import pytest

from tests.journal.conformance import CHECKS, Check
from tests.journal.engines import JetStreamEngine
from tests.natsd import SERVERS, serving


@pytest.fixture(scope="module", params=SERVERS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("nats"), request.param) as url:
        yield url


@pytest.fixture
def engine(url: str) -> JetStreamEngine:
    return JetStreamEngine(url)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check: Check, engine: JetStreamEngine) -> None:
    await check(engine)
