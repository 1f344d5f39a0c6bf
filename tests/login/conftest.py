"""A clock to turn by hand."""

import pytest

from tests.server.conftest import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()
