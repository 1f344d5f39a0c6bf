"""The two processes: whatever becomes of the delivering one, mail is taken, and nothing is lost."""

import asyncio
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import aiosmtplib

from tests.service import PATIENCE, Service, configure, serving, start

SCRIPT = {"note__py": "def on_mail(event):\n    messageLog('got ' + event['subject'])\n"}
SINK = '[sinks.note]\ntype = "script"\npath = "note.py"'


async def send(service: Service, subject: str) -> None:
    """Send a mail; returns when it is acknowledged."""
    await aiosmtplib.send(
        f"Subject: {subject}\r\n\r\nx\r\n",
        sender="a@lan",
        recipients=["b@lan"],
        hostname="127.0.0.1",
        port=service.port,
        start_tls=False,
        timeout=5,
    )


def delivering(service: Service) -> int:
    """The process id of the delivering half."""
    parent = service.process.pid
    [child] = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(child)


async def gone(process: int) -> None:
    """Wait until there is no such process, or only its remains."""
    stat = Path(f"/proc/{process}/stat")
    async with asyncio.timeout(PATIENCE):
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":  # noqa: ASYNC110  /proc
            await asyncio.sleep(0.01)


async def test_mail_is_taken_while_the_delivering_process_is_dead(tmp_path: Path) -> None:
    async with serving(tmp_path, SINK, **SCRIPT) as service:
        await send(service, "one")
        await service.line("got one$")
        for number in range(3):
            victim = delivering(service)
            os.kill(victim, signal.SIGKILL)
            await send(service, f"after {number}")
            await service.line(f"got after {number}$")
            assert delivering(service) != victim
        await service.line(r"\+ the delivering process has died \(status -9\); it is started again", count=3)
        assert await service.stop() == 0
        assert not [line for line in service.lines if "Traceback" in line]


async def test_mail_is_taken_while_the_delivering_process_stands_still(tmp_path: Path) -> None:
    async with serving(tmp_path, SINK, **SCRIPT) as service:
        child = delivering(service)
        os.kill(child, signal.SIGSTOP)
        for number in range(20):
            await send(service, f"late {number}")
        os.kill(child, signal.SIGCONT)
        for number in range(20):
            await service.line(f"got late {number}$")


async def test_the_delivering_process_goes_with_its_parent_and_the_next_one_starts_at_once(
    tmp_path: Path,
) -> None:
    config, port = configure(tmp_path, SINK, files=SCRIPT)
    service = await start(config, port)
    await service.line("SMTP on")
    child = delivering(service)
    service.process.kill()
    await service.process.wait()
    again = await start(config, port)
    await again.line("SMTP on")
    await gone(child)
    await send(again, "one")
    await again.line("got one$")
    assert await again.stop() == 0


async def test_a_signal_to_all_processes_stops_in_order(tmp_path: Path) -> None:
    """As systemd does it."""
    async with serving(tmp_path, SINK, **SCRIPT) as service:
        await send(service, "zero")
        await service.line("got zero$")  # the script is up: else what comes waits for the next start
        await send(service, "one")
        child = delivering(service)
        os.kill(child, signal.SIGTERM)
        assert await service.stop() == 0
        await gone(child)
        await service.line("got one$")
        assert service.lines[-2].endswith(" - stopped")


async def test_all_in_one_process(tmp_path: Path) -> None:
    config, port = configure(tmp_path, SINK, files=SCRIPT)
    config.write_text(f"processes = 1\n{config.read_text()}")
    service = await start(config, port)
    await service.line("SMTP on")
    await send(service, "one")
    await service.line("got one$")
    parent = service.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    assert not [each for each in children if b"mailbell.child" in Path(f"/proc/{each}/cmdline").read_bytes()]
    assert await service.stop() == 0


async def test_it_dies_under_load_and_nothing_is_lost(tmp_path: Path) -> None:
    notes = tmp_path / "notes"  # a line of the log may be lost with the process, after its event is settled
    note = f"    with open({str(notes)!r}, 'a') as notes: print(event['subject'], file=notes)\n"
    async with serving(tmp_path, SINK, "threads = 8", note__py=SCRIPT["note__py"] + note) as service:
        sent: list[str] = []

        async def load(name: str) -> None:
            for number in range(100):
                await send(service, f"{name}-{number}")
                sent.append(f"{name}-{number}")

        loads = [asyncio.create_task(load(name)) for name in "abcd"]
        for number in range(1, 4):
            await service.line("got a-", count=number)
            os.kill(delivering(service), signal.SIGKILL)
            await service.line("it is started again", count=number)
            await until_there(service)
        await asyncio.gather(*loads)
        async with asyncio.timeout(PATIENCE):
            while not set(sent) <= set(notes.read_text().split()):  # noqa: ASYNC110  a file
                await asyncio.sleep(0.02)
        assert not [line for line in service.lines if "Traceback" in line]


async def send_as_soon_as_it_listens(service: Service, subject: str) -> None:
    """Send a mail the moment the port opens; returns when it is acknowledged."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await send(service, subject)
            except aiosmtplib.SMTPConnectError:
                await asyncio.sleep(0.005)


async def test_mail_that_comes_the_moment_the_port_opens_reaches_a_sink_that_is_new(tmp_path: Path) -> None:
    service = await start(*configure(tmp_path, SINK, files=SCRIPT))
    await send_as_soon_as_it_listens(service, "first")
    await service.line("IO MONITOR FORCED: smtp.mail = ")
    await service.line("got first$")
    assert await service.stop() == 0
    assert len([line for line in service.lines if "got first" in line]) == 1
    with closing(sqlite3.connect(tmp_path / "data" / "delivery.db")) as database:
        floors = dict(database.execute("select name, floor from consumer").fetchall())
    assert floors == {"io": 1, "inbox": 1, "note": 1}


async def test_mail_that_came_before_the_delivering_process_was_there_survives_a_kill(tmp_path: Path) -> None:
    config, port = configure(tmp_path, SINK, files=SCRIPT)
    service = await start(config, port)
    await send_as_soon_as_it_listens(service, "first")
    await service.kill()
    again = await start(config, port)
    await again.line("got first$")
    assert await again.stop() == 0


async def until_there(service: Service) -> None:
    """Wait until there is a delivering process again."""
    parent = service.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children")
    async with asyncio.timeout(PATIENCE):
        while not children.read_text():  # noqa: ASYNC110  /proc
            await asyncio.sleep(0.01)
