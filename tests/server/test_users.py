"""Checking passwords: AUTH on the wire, throttling, equal time, a users file that changes."""

import asyncio
import base64
import hmac
import os
from pathlib import Path

import bcrypt
import pytest

from mailbell.errors import StartupError
from mailbell.journal.sqlite import SqliteJournal
from mailbell.server import passwords
from mailbell.server.passwords import hash_password
from mailbell.server.users import DELAYS, FORGIVEN_AFTER, Authenticator, Users
from mailbell.smtp.sasl import Credentials
from tests.conftest import BOTH_LOOPS
from tests.server.conftest import Client, Connect, HandClock, Serve

BCRYPT = bcrypt.hashpw(b"sesame", bcrypt.gensalt(4)).decode()


@pytest.fixture(scope="module")
def scrypt() -> str:
    return hash_password("sesame")


@pytest.fixture
def file(tmp_path: Path, scrypt: str) -> Path:
    """A user of each kind, the password of all is sesame."""
    file = tmp_path / "users"
    file.write_text(f"modern:{scrypt}\nweb:{BCRYPT}\nold:{{PLAIN}}sesame\n")
    return file


def plain(user: str, password: str) -> str:
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def credentials(user: str = "modern", password: str = "sesame") -> Credentials:
    return Credentials("PLAIN", user, password)


# On the wire

REQUIRED = {"auth": "required", "auth_plaintext": True}


@BOTH_LOOPS
@pytest.mark.parametrize("user", ["modern", "web", "old"])
async def test_required_lets_in_who_knows_the_password(
    serve: Serve, connect: Connect, journal: SqliteJournal, file: Path, user: str
) -> None:
    client = await connect(await serve(users=file, **REQUIRED))
    answers = await client.talk("EHLO x", "MAIL FROM:<a@lan>", plain(user, "open"), plain(user, "sesame"))
    assert [answer[:9] for answer in answers[2:]] == ["530 5.7.0", "535 5.7.8", "235 2.7.0"][:3]
    assert (await client.mail()).startswith("250")
    assert (await journal.read(1)).source.auth_user == user


async def test_cram_md5_needs_a_readable_password(
    serve: Serve, connect: Connect, file: Path, scrypt: str
) -> None:
    async def offered(client: Client) -> bool:
        return "CRAM-MD5" in (await client.talk("EHLO x"))[1]

    async def log_in(client: Client, user: str, password: str) -> str:
        challenge = base64.b64decode((await client.say("AUTH CRAM-MD5"))[4:])
        digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
        return await client.say(base64.b64encode(f"{user} {digest}".encode()))

    server = await serve(users=file, **REQUIRED)
    client = await connect(server)
    assert await offered(client)
    assert (await log_in(client, "modern", scrypt)).startswith("535"), "a hash is no password"
    server = await serve(users=file, **REQUIRED)
    client = await connect(server)
    assert await offered(client)
    assert (await log_in(client, "old", "sesame")).startswith("235")
    file.write_text(f"modern:{scrypt}\n")
    assert not await offered(await connect(await serve(users=file, **REQUIRED)))


async def test_any_accepts_all_and_records_the_name(
    serve: Serve, connect: Connect, journal: SqliteJournal
) -> None:
    client = await connect(await serve(auth="any"))
    assert "AUTH PLAIN LOGIN CRAM-MD5" in (await client.talk("EHLO x"))[1]
    assert (await client.say(plain("cam", ""))).startswith("235")
    await client.mail()
    assert (await journal.read(1)).source.auth_user == "cam"


async def test_off_offers_nothing(serve: Serve, connect: Connect) -> None:
    client = await connect(await serve(auth="off"))
    answers = await client.talk("EHLO x", plain("cam", "sesame"))
    assert "AUTH" not in answers[1]
    assert answers[2].startswith("502 5.5.1 Authentication is switched off")
    assert (await client.mail()).startswith("250")


async def test_passwords_are_in_no_transcript_and_no_log(
    serve: Serve, connect: Connect, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server = await serve(users=file, **REQUIRED)
    client = await connect(server)
    secret = base64.b64encode(b"\0old\0sesamf").decode()
    await client.talk("EHLO x", f"AUTH PLAIN {secret}", "AUTH LOGIN", base64.b64encode(b"modern").decode())
    await client.say(base64.b64encode(b"sesame").decode())
    await client.say("QUIT")
    [transcript] = await server.transcripts.ended()
    said = "\n".join([*(line.text for line in transcript.lines), caplog.text])
    for each in ("sesam", secret, base64.b64encode(b"sesame").decode()):
        assert each not in said
    assert "wrong password for 'old' from 127.0.0.1" in caplog.text


async def test_a_server_that_requires_users_has_some(serve: Serve, file: Path) -> None:
    for settings in ({"auth": "required"}, {"auth": "any", "users": file}):
        with pytest.raises((StartupError, ValueError)):
            await serve(**settings)


@BOTH_LOOPS
async def test_a_client_that_leaves_while_its_password_is_checked(
    serve: Serve, connect: Connect, file: Path
) -> None:
    server = await serve(users=file, threads=1, **REQUIRED)
    client = await connect(server)
    await client.talk("EHLO x")
    client.send(plain("modern", "sesame"))
    await client.writer.drain()
    client.reset()
    await server.transcripts.ended()
    assert server.slots.taken == 0


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
    file: Path, clock: HandClock, naps: Naps
) -> None:
    authenticator = Authenticator(Users(file), clock, naps)
    for _ in range(8):
        assert not await authenticator.check("10.0.0.1", credentials(password="guess"))
    assert naps.taken == [*DELAYS, DELAYS[-1], DELAYS[-1]]
    naps.taken.clear()
    assert await authenticator.check("10.0.0.2", credentials())
    assert await authenticator.check("10.0.0.1", credentials())
    assert not await authenticator.check("10.0.0.1", credentials(password="typo"))
    assert naps.taken == [0.0, DELAYS[-1], 0.0], "forgiven with the right one"


async def test_failures_are_forgiven_in_time(file: Path, clock: HandClock, naps: Naps) -> None:
    authenticator = Authenticator(Users(file), clock, naps)
    await authenticator.check("10.0.0.1", credentials(password="guess"))
    clock.ahead += FORGIVEN_AFTER + 1
    await authenticator.check("10.0.0.1", credentials(password="guess"))
    assert naps.taken == [0.0, 0.0]


async def test_many_connections_guess_no_faster_than_one(file: Path, clock: HandClock, naps: Naps) -> None:
    authenticator = Authenticator(Users(file), clock, naps)
    guesses = (authenticator.check("10.0.0.1", credentials(password="guess")) for _ in range(6))
    assert not any(await asyncio.gather(*guesses))
    assert naps.taken == list(DELAYS)


async def test_a_guess_that_is_called_off_holds_up_nobody(file: Path, clock: HandClock) -> None:
    asleep = asyncio.Event()

    async def sleep(_: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    authenticator = Authenticator(Users(file), clock, sleep)
    guess = asyncio.create_task(authenticator.check("10.0.0.1", credentials(password="guess")))
    await asleep.wait()
    guess.cancel()
    await asyncio.wait([guess])
    authenticator._sleep = Naps()
    assert await authenticator.check("10.0.0.1", credentials())


async def test_what_is_known_of_sources_is_bounded(
    file: Path, clock: HandClock, naps: Naps, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = Users(file)
    monkeypatch.setattr(users, "check", lambda _: False)
    authenticator = Authenticator(users, clock, naps)
    for number in range(5000):
        await authenticator.check(str(number), credentials())
    assert len(authenticator._sources) == 4096


# Equal time


@pytest.mark.parametrize("user", ["modern", "old", "nobody"])
def test_whoever_it_is_one_slow_hash_is_made(file: Path, monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    users, made = Users(file), []
    real = passwords._scrypt

    def counting(*arguments: object) -> bytes:
        made.append(arguments)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(passwords, "_scrypt", counting)
    assert not users.check(credentials(user, "guess"))
    assert len(made) == 1


def test_nobody_is_let_in_with_the_password_of_another(file: Path) -> None:
    users = Users(file)
    assert not users.check(credentials("nobody", "sesame"))
    assert not users.check(credentials("old", ""))


# The file changes


def change(file: Path, text: str) -> None:
    before = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(text)
    os.utime(file, ns=(before + 10**9, before + 10**9))  # a second later, whatever the file system counts in


def test_changes_are_followed_and_a_broken_file_leaves_the_last_one(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    users = Users(file)
    change(file, "new:{PLAIN}word\n")
    assert users.check(credentials("new", "word"))
    assert not users.check(credentials("old", "sesame"))
    change(file, "new:{PLAIN}word\nbroken\n")
    assert users.check(credentials("new", "word"))
    assert users.check(credentials("new", "word"))
    file.unlink()
    assert users.check(credentials("new", "word"))
    change(file, "other:{PLAIN}word\n")
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
