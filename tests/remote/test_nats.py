"""The connection to NATS: how we log in, what is under way when it breaks, a link that is cut."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nkeys  # type: ignore[import-untyped]
import pytest

from mailbell.remote import nats as module
from mailbell.remote.nats import NatsLink, NatsOptions, NatsUnavailable, NobodyThere
from tests.conftest import BOTH_LOOPS
from tests.natsd import NatsServer, connected, flushed, running
from tests.proxy import proxied
from tests.sinks.conftest import certified

SOON = 20.0


@asynccontextmanager
async def linked(server: NatsServer, **how: Any) -> AsyncIterator[NatsLink]:
    given: dict[str, Any] = {"servers": (server.url,), "timeout": 3.0}
    link = NatsLink("test", NatsOptions(**(given | how)), (0.02,))
    await link.start()
    try:
        yield link
    finally:
        await link.stop()


@BOTH_LOOPS
async def test_questions_and_answers(tmp_path: Path) -> None:
    async with running(tmp_path) as server, connected(server) as client, linked(server) as link:

        async def answer(message: Any) -> None:
            await message.respond(message.data.upper())

        await client.subscribe("ask", cb=answer)
        await flushed(client)
        answers = await asyncio.gather(*(link.request("ask", b"a%d" % n, within=5) for n in range(100)))
        assert [each.data for each in answers] == [b"A%d" % n for n in range(100)]
        with pytest.raises(NobodyThere, match="nobody answers at elsewhere"):
            await link.request("elsewhere", within=5)
        await client.subscribe("mute")
        await flushed(client)
        with pytest.raises(NatsUnavailable, match=r"no answer in 0.05 s"):
            await link.request("mute", within=0.05)
        assert not link._waiting
        assert not link.clustered


async def test_what_is_under_way_fails_with_the_connection(tmp_path: Path) -> None:
    async with running(tmp_path) as server, connected(server) as client:
        await client.subscribe("mute")
        await flushed(client)
        async with (
            proxied(server.port) as proxy,
            linked(server, servers=(f"nats://127.0.0.1:{proxy.port}",)) as link,
        ):
            again = asyncio.Event()

            async def up() -> None:
                again.set()

            link.on_up.append(up)
            asking = asyncio.create_task(link.request("mute", within=SOON))
            while not link._waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            proxy.drop()
            with pytest.raises(NatsUnavailable, match="is lost"):
                await asyncio.wait_for(asking, 5)
            await asyncio.wait_for(again.wait(), SOON)


@BOTH_LOOPS
async def test_a_break_in_the_middle_of_a_burst_shows(tmp_path: Path) -> None:
    """nats-py gives up half-way through closing where there is something left to say, and tells nobody."""
    async with (
        running(tmp_path) as server,
        proxied(server.port) as proxy,
        linked(server, servers=(f"nats://127.0.0.1:{proxy.port}",)) as link,
    ):
        for _ in range(20):
            client = link.client
            proxy.drop()
            with suppress(NatsUnavailable):
                while True:
                    await link.publish("x", bytes(1000))
                    await asyncio.sleep(0)
            async with asyncio.timeout(SOON):
                while not link.up.is_set() or link.client is client:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)


@BOTH_LOOPS
async def test_a_line_that_freezes_with_octets_unsent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads at the other end, and nobody says that the line is cut: nothing is waited for there."""
    monkeypatch.setattr(module, "PING_EVERY", 0.1)
    async with (
        running(tmp_path, "max_payload: 8MB") as server,
        proxied(server.port) as proxy,
        linked(server, servers=(f"nats://127.0.0.1:{proxy.port}",)) as link,
    ):
        client = link.client
        proxy.freeze()
        sending = [asyncio.create_task(link.publish("x", bytes(4_000_000))) for _ in range(4)]
        async with asyncio.timeout(SOON):
            while not link.up.is_set() or link.client is client:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.gather(*sending, return_exceptions=True)
            await link.publish("x")


async def test_a_link_that_is_cut_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PING_EVERY", 0.1)
    async with (
        running(tmp_path) as server,
        proxied(server.port) as proxy,
        linked(server, servers=(f"nats://127.0.0.1:{proxy.port}",), timeout=0.5) as link,
    ):
        proxy.cut()
        async with asyncio.timeout(SOON):
            while link.up.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        with pytest.raises(NatsUnavailable, match="not connected to nats"):
            await link.publish("x")
        proxy.heal()
        await asyncio.wait_for(link.up.wait(), SOON)


async def test_one_of_several_is_enough(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        linked(server, servers=("nats://127.0.0.1:1", server.url)) as link,
    ):
        await link.publish("x")


async def test_an_nkey(tmp_path: Path) -> None:
    pair, other = nkeys.from_seed(_seed("U")), nkeys.from_seed(_seed("U"))
    config = f"authorization {{ users: [ {{ nkey: {pair.public_key.decode()} }} ] }}"
    async with running(tmp_path, config) as server:
        (tmp_path / "seed").write_bytes(pair.seed)
        async with linked(server, nkey=tmp_path / "seed") as link:
            await link.publish("x")
        (tmp_path / "other").write_bytes(other.seed)
        with pytest.raises(NatsUnavailable, match=r"Authorization Violation|reset by peer"):
            async with linked(server, nkey=tmp_path / "other"):
                pass
        (tmp_path / "bad").write_text("no seed")
        for name, why in (("bad", "holds no seed of an NKey"), ("none", "No such file")):
            with pytest.raises(NatsUnavailable, match=f"{name}.* ?{why}"):
                async with linked(server, nkey=tmp_path / name):
                    pass
        with pytest.raises(NatsUnavailable, match="is no file as nsc makes it"):
            async with linked(server, credentials=tmp_path / "bad"):
                pass


async def test_a_credentials_file(tmp_path: Path) -> None:
    operator, account, user = (nkeys.from_seed(_seed(kind)) for kind in "OAU")
    trusted = _jwt(operator, operator, {"type": "operator"})
    tenant = _jwt(operator, account, {"type": "account", "limits": _no_limits()})
    config = (
        f"operator: {trusted}\nresolver: MEMORY\n"
        f"resolver_preload: {{ {account.public_key.decode()}: {tenant} }}\n"
    )
    free: dict[str, object] = {"type": "user", "subs": -1, "data": -1, "payload": -1}
    credentials = tmp_path / "user.creds"
    credentials.write_text(
        f"-----BEGIN NATS USER JWT-----\n{_jwt(account, user, free)}\n"
        "------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n"
        f"{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    folder = tmp_path / "server"
    folder.mkdir()
    async with running(folder, config, jetstream=False) as server:
        async with linked(server, credentials=credentials) as link:
            await link.publish("x")
        with pytest.raises(NatsUnavailable, match=r"Authorization Violation|reset by peer"):
            async with linked(server):
                pass


async def test_tls(tmp_path: Path) -> None:
    certificate, key = certified(tmp_path)
    async with running(tmp_path, f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}') as server:
        async with linked(server, ca=certificate) as link:
            await link.publish("x")
        with pytest.raises(NatsUnavailable, match="certificate verify failed"):
            async with linked(server, servers=(server.url.replace("nats:", "tls:"),)):
                pass
        with pytest.raises(NatsUnavailable, match="no certificates in PEM"):
            async with linked(server, ca=key.parent / "nats.conf"):
                pass


def _seed(kind: str) -> bytes:
    prefix = {"O": nkeys.PREFIX_BYTE_OPERATOR, "A": nkeys.PREFIX_BYTE_ACCOUNT, "U": nkeys.PREFIX_BYTE_USER}
    import secrets

    return bytes(nkeys.encode_seed(secrets.token_bytes(32), prefix[kind]))


def _no_limits() -> dict[str, object]:
    names = ("subs", "conn", "leaf", "imports", "exports", "data", "payload")
    return {**dict.fromkeys(names, -1), "wildcards": True}


def _jwt(issuer: Any, subject: Any, nats: dict[str, object]) -> str:
    """A JWT as nsc makes it (ADR-14)."""
    claims = {
        "iat": int(time.time()),
        "iss": issuer.public_key.decode(),
        "jti": base64.b32encode(b"0123456789abcdef0123456789abcdef").decode().rstrip("="),
        "name": "x",
        "sub": subject.public_key.decode(),
        "nats": {**nats, "version": 2},
    }
    parts = [_part({"typ": "JWT", "alg": "ed25519-nkey"}), _part(claims)]
    signed = ".".join(parts).encode()
    return f"{signed.decode()}.{base64.urlsafe_b64encode(issuer.sign(signed)).decode().rstrip('=')}"


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
