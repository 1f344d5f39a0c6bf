"""pytest fixtures: `mailbell` and `mailbell_session`, SMTP servers for tests (docs/testing.md)."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mailbell.testing import Mailbell


@pytest.fixture(scope="session")
def mailbell_options() -> Mapping[str, Any]:
    """What the servers are made with, see `mailbell.testing.Mailbell`: to be overridden in a conftest.py."""
    return {}


@pytest.fixture
def mailbell(mailbell_options: Mapping[str, Any]) -> "Iterator[Mailbell]":
    """An SMTP server of this test's own, on a free port of the loopback."""
    from mailbell.testing import Mailbell

    with Mailbell(**mailbell_options) as server:
        yield server


@pytest.fixture(scope="session")
def mailbell_session(mailbell_options: Mapping[str, Any]) -> "Iterator[Mailbell]":
    """One SMTP server for all tests of this process; `clear()` it between them."""
    from mailbell.testing import Mailbell

    with Mailbell(**mailbell_options) as server:
        yield server
