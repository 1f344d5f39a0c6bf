"""SIGHUP: the settings are read again while mail flows; no connection is cut, no event lost."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.service import Service, configure, serving

NOTE = """
def on_mail(event):
    with open({path!r}, "a") as file:
        file.write(event["subject"] + "\\n")
"""
CLIENTS = 4


def script(path: Path) -> str:
    return NOTE.format(path=str(path))


def sink(name: str, file: str, more: str = "") -> str:
    return f'[sinks.{name}]\ntype = "script"\npath = "{file}"\n{more}\n'


def rewrite(service: Service, folder: Path, sinks: str, ioserver: str = "") -> None:
    configure(folder, sinks, ioserver, port=service.port)
    service.process.send_signal(signal.SIGHUP)


async def send(port: int, name: str, stop: asyncio.Event, acknowledged: list[str]) -> None:
    """Send numbered mails on one connection until told to stop; a cut or another reply is a failure."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    number = 0
    while not stop.is_set():
        number += 1
        writer.write(b"HELO x\r\nMAIL FROM:<a@lan>\r\nRCPT TO:<b@lan>\r\nDATA\r\n")
        writer.write(f"Subject: {name}-{number}\r\n\r\nhello\r\n.\r\n".encode())
        replies = [(await reader.readline())[:4] for _ in range(5)]
        assert replies == [b"250 ", b"250 ", b"250 ", b"354 ", b"250 "]
        acknowledged.append(f"{name}-{number}")
        await asyncio.sleep(0.005)  # a load, but one whose log can be watched
    writer.close()


async def until(condition: object) -> None:
    """Wait for something that another process does."""
    assert callable(condition)
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def lines(path: Path) -> list[str]:
    """What a script has noted, but for the sample that it is tried with when it is loaded."""
    noted = path.read_text().splitlines() if path.exists() else []
    return [line for line in noted if line != "Motion detected"]


async def test_a_sink_is_exchanged_under_load(tmp_path: Path) -> None:
    old, new, other = tmp_path / "old", tmp_path / "new", tmp_path / "other"
    files = {"old__py": script(old), "new__py": script(new), "other__py": script(other)}
    rest = sink("other", "other.py")
    async with serving(tmp_path, sink("note", "old.py") + rest, **files) as service:
        stop, acknowledged = asyncio.Event(), list[str]()
        load = [asyncio.create_task(send(service.port, f"c{n}", stop, acknowledged)) for n in range(CLIENTS)]
        await until(lambda: lines(old))
        for number, path in enumerate(("new.py", "old.py", "new.py"), 1):
            rewrite(service, tmp_path, sink("note", path) + rest)
            await service.line(r"reload: sinks\.note\.path: .* → .*" + path, count=(number + 1) // 2)
            await service.line("reload: done", count=number)
            more = len(acknowledged) + 50
            await until(lambda more=more: len(acknowledged) > more)
        await until(lambda: lines(new))
        stop.set()
        await asyncio.gather(*load)
        await until(lambda: set(acknowledged) <= {*lines(old), *lines(new)})
        await until(lambda: len(lines(other)) >= len(acknowledged))
        assert sorted(lines(old) + lines(new)) == sorted(acknowledged)  # each once: the old one had finished
        assert sorted(lines(other)) == sorted(acknowledged)
    assert not [line for line in service.lines if "parked" in line or "tried again" in line]
    assert len([line for line in service.lines if "reload: sinks.other" in line]) == 0


async def test_sinks_come_and_go(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    files = {"a__py": script(a), "b__py": script(b)}
    async with serving(tmp_path, sink("a", "a.py"), **files) as service:
        await one(service, "first")
        await until(lambda: lines(a) == ["first"])
        rewrite(service, tmp_path, sink("b", "b.py"))
        await service.line("reload: sinks.a: removed")
        await service.line("reload: sinks.b: added")
        await service.line("reload: done")
        await one(service, "second")
        await until(lambda: lines(b) == ["second"])
        rewrite(service, tmp_path, sink("a", "a.py") + sink("b", "b.py"))
        await service.line("reload: done", count=2)
        await until(lambda: lines(a) == ["first", "second"])  # it goes on where it was
        assert lines(b) == ["second"]


async def one(service: Service, subject: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(
        b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@lan>\r\nDATA\r\n"
        + f"Subject: {subject}\r\n\r\n.\r\nQUIT\r\n".encode()
    )
    assert b"250 2.0.0 OK 0" in await reader.read()
    writer.close()


async def test_with_an_error_in_the_file_all_stays(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    async with serving(tmp_path, sink("a", "a.py"), a__py=script(seen)) as service:
        rewrite(service, tmp_path, sink("a", "gone.py", "retry_for = -1"))
        await service.line(r"reload: .*sinks\.a\.path: no such file")
        await service.line(r"reload: .*sinks\.a\.retry_for: expected")
        await service.line("reload: the settings stay as they were")
        await one(service, "still there")
        await until(lambda: lines(seen) == ["still there"])


async def test_options_change_live_or_say_that_they_do_not(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    text = (
        f"def on_mail(event):\n    open({str(seen)!r}, 'a').write(repr(event['hsyco']['body']) + chr(10))\n"
    )
    async with serving(tmp_path, sink("a", "a.py"), a__py=text) as service:
        rewrite(service, tmp_path, sink("a", "a.py"), 'max_size = 1000\nthreads = 9\nallow = ["10.0.0.0/8"]')
        await service.line(r"ioservers\.smtp\.max_size: 26214400 → 1000$")
        await service.line(r"ioservers\.smtp\.threads: 4 → 9; this needs a restart")
        await service.line("reload: done")
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        assert (await reader.readline()).startswith(b"554 ")
        writer.close()
        rewrite(service, tmp_path, sink("a", "a.py"), "max_size = 1000\nthreads = 9")
        await service.line("reload: done", count=2)
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"EHLO x\r\nQUIT\r\n")
        assert b"SIZE 1000\r\n" in await reader.read()
        writer.close()


@pytest.mark.parametrize("text", ["", "nothing = true"])
async def test_a_secret_is_not_shown(tmp_path: Path, text: str) -> None:
    key = "whsec_" + "QUFB" * 8
    hook = '[sinks.hook]\ntype = "webhook"\nurl = "http://127.0.0.1:9/{}"\nsecrets = ["{}"]\n'
    async with serving(tmp_path, hook.format("token-a", key)) as service:
        rewrite(service, tmp_path, hook.format("token-b", key.replace("QUFB", "QkJC")) + text)
        await service.line("reload: done" if not text else "reload: the settings stay")
    assert not [line for line in service.lines if "QUFB" in line or "QkJC" in line or "token-" in line]
