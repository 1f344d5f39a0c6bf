"""Fixtures for every test."""

import pytest
import uvloop

pytest_plugins = ["pytester"]


@pytest.fixture(params=[("asyncio", {"loop_factory": uvloop.new_event_loop})], ids=["uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Async tests run on uvloop; a test that must hold on both loops overrides this with `BOTH_LOOPS`."""
    return request.param


BOTH_LOOPS = pytest.mark.parametrize(
    "anyio_backend",
    [("asyncio", {"loop_factory": uvloop.new_event_loop}), ("asyncio", {})],
    ids=["uvloop", "asyncio"],
)
