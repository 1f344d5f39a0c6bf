"""kill -9 under load: every mail that got its 250 reaches the script."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.service import Service, configure, start

SCRIPT = """
def on_mail(event):
    with open({path!r}, "a") as file:
        file.write(event["subject"] + "\\n")
"""

CLIENTS = 4
REST = 0.005
"""Seconds between two mails of a client: in a flood the script would be long behind at the last kill."""


async def send_for_ever(port: int, name: str, acknowledged: set[str], rest: float = 0.0) -> None:
    """Send numbered mails on one connection after another, `rest` seconds apart; note those with a 250."""
    number = 0
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)  # it is being restarted
            continue
        try:
            while True:
                number += 1
                subject = f"{name}-{number}"
                writer.write(b"HELO x\r\nMAIL FROM:<a@lan>\r\nRCPT TO:<b@lan>\r\nDATA\r\n")
                writer.write(f"Subject: {subject}\r\n\r\nhello\r\n.\r\n".encode())
                while line := await reader.readline():
                    if line.startswith(b"250 2.0.0 OK 0"):
                        acknowledged.add(subject)
                        break
                    if line[:1] in (b"4", b"5"):
                        break  # a full disk: this one is not taken, and the rest of its replies is of no use
                await asyncio.sleep(rest)
                if not line.startswith(b"250"):
                    break
        except OSError:
            pass
        finally:
            writer.close()


async def kill_under_load(folder: Path, times: int) -> None:
    """The server is killed `times` times at random moments, then starts once more and delivers everything."""
    seen = folder / "seen"
    files = {"note.py": SCRIPT.format(path=str(seen))}
    config, port = configure(folder, '[sinks.note]\ntype = "script"\npath = "note.py"', files=files)
    acknowledged: set[str] = set()
    load = [asyncio.create_task(send_for_ever(port, f"c{n}", acknowledged, REST)) for n in range(CLIENTS)]
    for _ in range(times):
        service = await start(config, port)  # mail is taken before the delivering process is up
        await more(acknowledged, 1)
        await asyncio.sleep(random.uniform(0, 0.5))  # the moment is random: nothing to await
        await service.kill()
    service = await start(config, port)
    await service.line("SMTP on")
    await more(acknowledged, 20)
    for task in load:
        task.cancel()
    await asyncio.wait(load)
    await everything(service, seen, acknowledged)
    assert await service.stop() == 0
    assert not [line for line in service.lines if "parked" in line]


async def more(acknowledged: set[str], count: int) -> None:
    """Wait until the load has gone on."""
    wanted = len(acknowledged) + count
    async with asyncio.timeout(30):
        while len(acknowledged) < wanted:  # noqa: ASYNC110  four tasks and a restart to hear of it from
            await asyncio.sleep(0.005)


async def everything(service: Service, seen: Path, acknowledged: set[str]) -> None:
    """Wait until the script has seen all that was acknowledged."""
    try:
        async with asyncio.timeout(60):
            while acknowledged - set(seen.read_text().splitlines()):  # noqa: ASYNC110  another process writes it
                await asyncio.sleep(0.05)
    except TimeoutError:
        lost = acknowledged - set(seen.read_text().splitlines())
        pytest.fail(
            f"{len(lost)} of {len(acknowledged)} lost: {sorted(lost)[:5]}\n" + "\n".join(service.lines[-20:])
        )


async def test_twenty_kills(tmp_path: Path) -> None:
    await kill_under_load(tmp_path, 20)


@pytest.mark.faults
async def test_a_hundred_kills(tmp_path: Path) -> None:
    await kill_under_load(tmp_path, 100)
