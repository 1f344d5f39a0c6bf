"""Fixtures for every test."""

from pathlib import Path

import bcrypt
import pytest
import uvloop

from mailbell.login.passwords import hash_password

BCRYPT = bcrypt.hashpw(b"sesame", bcrypt.gensalt(4)).decode()

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


@pytest.fixture(scope="session")
def scrypt() -> str:
    return hash_password("sesame")


@pytest.fixture
def users_file(tmp_path: Path, scrypt: str) -> Path:
    """A user of each kind: modern, web and old. The password of all is sesame."""
    file = tmp_path / "users"
    file.write_text(f"modern:{scrypt}\nweb:{BCRYPT}\nold:{{PLAIN}}sesame\n")
    return file
