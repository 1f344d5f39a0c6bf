"""AUTH on the wire, against a users users_file."""

import base64
import hmac
from pathlib import Path

import pytest

from mailbell.errors import StartupError
from mailbell.journal.sqlite import SqliteJournal
from tests.conftest import BOTH_LOOPS
from tests.server.conftest import Client, Connect, Serve


def plain(user: str, password: str) -> str:
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


REQUIRED = {"auth": "required", "auth_plaintext": True}


@BOTH_LOOPS
@pytest.mark.parametrize("user", ["modern", "web", "old"])
async def test_required_lets_in_who_knows_the_password(
    serve: Serve, connect: Connect, journal: SqliteJournal, users_file: Path, user: str
) -> None:
    client = await connect(await serve(users=users_file, **REQUIRED))
    answers = await client.talk("EHLO x", "MAIL FROM:<a@lan>", plain(user, "open"), plain(user, "sesame"))
    assert [answer[:9] for answer in answers[2:]] == ["530 5.7.0", "535 5.7.8", "235 2.7.0"][:3]
    assert (await client.mail()).startswith("250")
    assert (await journal.read(1)).source.auth_user == user


async def test_cram_md5_needs_a_readable_password(
    serve: Serve, connect: Connect, users_file: Path, scrypt: str
) -> None:
    async def offered(client: Client) -> bool:
        return "CRAM-MD5" in (await client.talk("EHLO x"))[1]

    async def log_in(client: Client, user: str, password: str) -> str:
        challenge = base64.b64decode((await client.say("AUTH CRAM-MD5"))[4:])
        digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
        return await client.say(base64.b64encode(f"{user} {digest}".encode()))

    server = await serve(users=users_file, **REQUIRED)
    client = await connect(server)
    assert await offered(client)
    assert (await log_in(client, "modern", scrypt)).startswith("535"), "a hash is no password"
    server = await serve(users=users_file, **REQUIRED)
    client = await connect(server)
    assert await offered(client)
    assert (await log_in(client, "old", "sesame")).startswith("235")
    users_file.write_text(f"modern:{scrypt}\n")
    assert not await offered(await connect(await serve(users=users_file, **REQUIRED)))


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
    serve: Serve, connect: Connect, users_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server = await serve(users=users_file, **REQUIRED)
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


async def test_a_server_that_requires_users_has_some(serve: Serve, users_file: Path) -> None:
    for settings in ({"auth": "required"}, {"auth": "any", "users": users_file}):
        with pytest.raises((StartupError, ValueError)):
            await serve(**settings)


@BOTH_LOOPS
async def test_a_client_that_leaves_while_its_password_is_checked(
    serve: Serve, connect: Connect, users_file: Path
) -> None:
    server = await serve(users=users_file, threads=1, **REQUIRED)
    client = await connect(server)
    await client.talk("EHLO x")
    client.send(plain("modern", "sesame"))
    await client.writer.drain()
    client.reset()
    await server.transcripts.ended()
    assert server.slots.taken == 0
