"""Checking passwords: throttling, equal time, a users file that changes."""

import asyncio
import os
from pathlib import Path

import pytest

from mailbell.errors import StartupError
from mailbell.login import passwords
from mailbell.login.users import DELAYS, FORGIVEN_AFTER, Authenticator, Users
from mailbell.smtp.sasl import Credentials
from tests.server.conftest import HandClock


def credentials(user: str = "modern", password: str = "sesame") -> Credentials:
    return Credentials("PLAIN", user, password)


# Throttling


class Naps:
    """Instead of sleeping: notes how long it was to be."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "N", 2)


async def test_a_guesser_waits_longer_and_longer_and_nobody_else_does(
    users_file: Path, clock: HandClock, naps: Naps
) -> None:
    authenticator = Authenticator(Users(users_file), clock, naps)
    for _ in range(8):
        assert not await authenticator.check("10.0.0.1", credentials(password="guess"))
    assert naps.taken == [*DELAYS, DELAYS[-1], DELAYS[-1]]
    naps.taken.clear()
    assert await authenticator.check("10.0.0.2", credentials())
    assert await authenticator.check("10.0.0.1", credentials())
    assert not await authenticator.check("10.0.0.1", credentials(password="typo"))
    assert naps.taken == [0.0, DELAYS[-1], 0.0], "forgiven with the right one"


async def test_failures_are_forgiven_in_time(users_file: Path, clock: HandClock, naps: Naps) -> None:
    authenticator = Authenticator(Users(users_file), clock, naps)
    await authenticator.check("10.0.0.1", credentials(password="guess"))
    clock.ahead += FORGIVEN_AFTER + 1
    await authenticator.check("10.0.0.1", credentials(password="guess"))
    assert naps.taken == [0.0, 0.0]


async def test_many_connections_guess_no_faster_than_one(
    users_file: Path, clock: HandClock, naps: Naps
) -> None:
    authenticator = Authenticator(Users(users_file), clock, naps)
    guesses = (authenticator.check("10.0.0.1", credentials(password="guess")) for _ in range(6))
    assert not any(await asyncio.gather(*guesses))
    assert naps.taken == list(DELAYS)


async def test_a_guess_that_is_called_off_holds_up_nobody(users_file: Path, clock: HandClock) -> None:
    asleep = asyncio.Event()

    async def sleep(_: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    authenticator = Authenticator(Users(users_file), clock, sleep)
    guess = asyncio.create_task(authenticator.check("10.0.0.1", credentials(password="guess")))
    await asleep.wait()
    guess.cancel()
    await asyncio.wait([guess])
    authenticator._sleep = Naps()
    assert await authenticator.check("10.0.0.1", credentials())


async def test_what_is_known_of_sources_is_bounded(
    users_file: Path, clock: HandClock, naps: Naps, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = Users(users_file)
    monkeypatch.setattr(users, "check", lambda _: False)
    authenticator = Authenticator(users, clock, naps)
    for number in range(5000):
        await authenticator.check(str(number), credentials())
    assert len(authenticator._sources) == 4096


# Equal time


@pytest.mark.parametrize("user", ["modern", "old", "nobody"])
def test_whoever_it_is_one_slow_hash_is_made(
    users_file: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    users, made = Users(users_file), []
    real = passwords._scrypt

    def counting(*arguments: object) -> bytes:
        made.append(arguments)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(passwords, "_scrypt", counting)
    assert not users.check(credentials(user, "guess"))
    assert len(made) == 1


def test_nobody_is_let_in_with_the_password_of_another(users_file: Path) -> None:
    users = Users(users_file)
    assert not users.check(credentials("nobody", "sesame"))
    assert not users.check(credentials("old", ""))


# The file changes


def change(users_file: Path, text: str) -> None:
    later = (users_file.stat().st_mtime_ns if users_file.exists() else 0) + 10**9
    users_file.write_text(text)
    os.utime(users_file, ns=(later, later))  # a second later, whatever the file system counts in


def test_changes_are_followed_and_a_broken_file_leaves_the_last_one(
    users_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    users = Users(users_file)
    change(users_file, "new:{PLAIN}word\n")
    assert users.check(credentials("new", "word"))
    assert not users.check(credentials("old", "sesame"))
    change(users_file, "new:{PLAIN}word\nbroken\n")
    assert users.check(credentials("new", "word"))
    assert users.check(credentials("new", "word"))
    users_file.unlink()
    assert users.check(credentials("new", "word"))
    change(users_file, "other:{PLAIN}word\n")
    assert users.check(credentials("other", "word"))
    assert not users.check(credentials("new", "word"))
    messages = [record.getMessage() for record in caplog.records]
    assert ["read again" in each and "not read" not in each for each in messages] == [
        True,
        False,
        False,
        True,
    ]
    assert ":2: expected name:hash" in messages[1]


def test_a_file_that_is_not_there_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="no such file; `mailbell user add` makes it"):
        Users(tmp_path / "users")
