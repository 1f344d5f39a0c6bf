"""`mailbell import` into a running server: every kind of source, nothing twice, no alarm for old mail."""

import asyncio
import json
import mailbox
import os
import signal
import smtplib
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from mailbell.cli.imports import LEDGER
from mailbell.cli.main import commands
from mailbell.testing import Mailbell
from tests.service import Service, serving
from tests.tools import free_port

SCRIPT = "def on_mail(event):\n    messageLog('note: ' + event['subject'])\n"
SINK = '[sinks.note]\ntype = "script"\npath = "note.py"\n'
KEEP = "[journal]\nmax_age = 0\n"


def web(port: int) -> str:
    return f'[web]\nlisten = "127.0.0.1:{port}"\n'


async def bring(folder: Path, *sources: object, options: tuple[str, ...] = ()) -> Result:
    command = ["import", "-c", str(folder / "mailbell.toml"), *options, *map(str, sources)]
    return await asyncio.to_thread(CliRunner().invoke, commands, command)


async def inbox(port: int) -> list[dict[str, Any]]:
    """The list, oldest first."""

    def get() -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/messages?limit=0", timeout=20) as answer:
            return json.load(answer)["messages"]

    return list(reversed(await asyncio.to_thread(get)))


def eml(path: Path, subject: str, *lines: str) -> Path:
    fields = "\r\n".join([f"Subject: {subject}", "From: a@lan", "To: b@lan", *lines])
    path.write_bytes(f"{fields}\r\n\r\ntext\r\n".encode())
    return path


async def test_files_folders_mboxes_and_maildirs(tmp_path: Path) -> None:
    sent = "Date: Mon, 25 Jan 2016 18:24:49 +0100"
    eml(tmp_path / "one.eml", "one", sent, "Return-Path: <real@lan>", "Delivered-To: box@lan")
    received = "Received: from a by b; Tue, 26 Jan 2016 10:00:00 +0000"
    (tmp_path / "folder").mkdir()
    eml(tmp_path / "folder" / "two.eml", "two", received, sent)
    (tmp_path / "box").write_bytes(
        b"From c@lan Wed Jan 27 00:00:00 2016\nSubject: three\n\nx\n\n"
        b"From - Thu Jan 28 00:00:00 2016\nSubject: four\n\ny\n\n"
    )
    folder = mailbox.Maildir(tmp_path / "maildir")
    folder.add(b"Subject: five\n\nz\n")
    [file] = (tmp_path / "maildir" / "new").iterdir()
    file.rename(file.with_name("1454112000.M1.host"))
    old = eml(tmp_path / "six.eml", "six")
    os.utime(old, (1454198400, 1454198400))
    port = free_port()
    async with serving(tmp_path, KEEP + web(port) + SINK, note__py=SCRIPT) as service:
        names = ("one.eml", "folder", "box", "maildir", "six.eml")
        result = await bring(tmp_path, *(tmp_path / name for name in names))
        assert (result.exit_code, result.stdout) == (0, "6 imported\n"), result.output
        messages = await inbox(port)
        assert [(each["Subject"], each["Created"][:16]) for each in messages] == [
            ("one", "2016-01-25T17:24"),
            ("two", "2016-01-26T10:00"),
            ("three", "2016-01-27T00:00"),
            ("four", "2016-01-28T00:00"),
            ("five", "2016-01-30T00:00"),
            ("six", "2016-01-31T00:00"),
        ]
        assert [each["Address"] for each in messages[0]["Bcc"]] == ["box@lan"]
        again = await bring(tmp_path, *(tmp_path / name for name in names))
        assert again.stdout == "0 imported; 6 were imported before\n"
        await only_new_mail_is_news(service)


async def only_new_mail_is_news(service: Service) -> None:
    """No data point, and no script, has heard of what was imported; they hear of what comes now."""
    with smtplib.SMTP("127.0.0.1", service.port) as client:
        client.sendmail("a@lan", ["b@lan"], b"Subject: now\r\n\r\n")
    await service.line("note: now")
    assert not [line for line in service.lines if "- note: " in line and "now" not in line]
    assert len([line for line in service.lines if "IO MONITOR" in line]) == 1


async def test_sinks_get_it_where_that_is_asked_for(tmp_path: Path) -> None:
    wants = (
        SINK
        + '[sinks.all]\ntype = "script"\npath = "all.py"\n[sinks.all.match]\nioserver = ["import", "smtp"]\n'
    )
    files = {"note__py": SCRIPT, "all__py": SCRIPT.replace("note", "all")}
    async with serving(tmp_path, KEEP + '[web]\nlisten = "off"\n' + wants, **files) as service:
        await bring(tmp_path, eml(tmp_path / "1.eml", "one"))
        await service.line("all: one")
        result = await bring(tmp_path, eml(tmp_path / "2.eml", "two"), options=("--ioserver", "smtp"))
        assert result.stdout == "1 imported\n"
        await service.line("IO MONITOR FORCED: smtp.mail = .*two")
        await service.line("note: two")
        assert not [line for line in service.lines if "note: one" in line]
        wrong = await bring(tmp_path, tmp_path / "1.eml", options=("--ioserver", "door"))
        assert wrong.exit_code == 2
        assert "there is no I/O server door; there is smtp" in wrong.stderr


async def test_an_export_comes_back_as_it_was(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    async with serving(tmp_path / "old", '[web]\nlisten = "off"') as service:
        for number in range(3):
            with smtplib.SMTP("127.0.0.1", service.port, local_hostname="cam") as client:
                client.sendmail("a@lan", ["b@lan", f"{number}@lan"], b"Subject: x\r\n\r\nFrom me\r\n")
    forms = ("eml", "mbox", "maildir")
    for form in forms:
        command = [
            "export",
            "-c",
            str(tmp_path / "old" / "mailbell.toml"),
            "--format",
            form,
            str(tmp_path / form),
        ]
        assert CliRunner().invoke(commands, command).exit_code == 0
    events = exported(tmp_path / "old")
    assert [each[3]["rcpt_to"][1] for each in events] == ["0@lan", "1@lan", "2@lan"]
    async with serving(tmp_path / "new", KEEP + web(port)):
        for form, said in zip(
            forms, ("3 imported", *["0 imported; 3 were imported before"] * 2), strict=True
        ):
            result = await bring(tmp_path / "new", tmp_path / form)
            assert result.stdout == f"{said}\n", (form, result.output)
    assert exported(tmp_path / "new") == events


def exported(house: Path) -> list[tuple[Any, ...]]:
    """All that the journal says of each mail, but for the I/O server."""
    target = house / "check"
    CliRunner().invoke(commands, ["export", "-c", str(house / "mailbell.toml"), str(target)])
    notes = [json.loads(line) for line in (target / "mailbell.jsonl").read_text().splitlines()]
    return [
        (
            each["id"],
            each["received_at"],
            each["source"],
            each["envelope"],
            (target / each["file"]).read_bytes(),
        )
        for each in notes
    ]


async def test_a_program_with_mailpits_api(tmp_path: Path) -> None:
    port = free_port()
    with Mailbell(web=True) as other:
        for number in range(5):
            with smtplib.SMTP(other.host, other.port) as client:
                mail = f"From: Gate <a@lan>\r\nTo: b@lan\r\nSubject: {number}\r\n\r\n".encode()
                client.sendmail("a@lan", ["b@lan", "hidden@lan"], mail)
        created = [each["Created"] for each in await inbox(int(str(other.url).rpartition(":")[2]))]
        async with serving(tmp_path, KEEP + web(port)):
            result = await bring(tmp_path, f"{other.url}/")
            assert result.stdout == "5 imported\n", result.output
            messages = await inbox(port)
            assert [each["Subject"] for each in messages] == ["0", "1", "2", "3", "4"]
            assert [each["Created"] for each in messages] == created
            assert messages[0]["Bcc"] == [{"Name": "", "Address": "hidden@lan"}]
            assert (await bring(tmp_path, other.url)).stdout == "0 imported; 5 were imported before\n"
            nobody = await bring(tmp_path, f"http://127.0.0.1:{free_port()}")
            assert nobody.exit_code == 1
            assert "a program with Mailpit's API is needed" in nobody.stderr


async def test_what_retention_would_remove_is_left_out(tmp_path: Path) -> None:
    eml(tmp_path / "old.eml", "old", "Date: Mon, 25 Jan 2016 18:24:49 +0100")
    eml(tmp_path / "new.eml", "new")
    async with serving(tmp_path, '[web]\nlisten = "off"'):
        result = await bring(tmp_path, tmp_path / "old.eml", tmp_path / "new.eml")
        assert result.stdout.startswith("1 imported; 1 left out: older than max_age in [journal]")


async def test_an_import_that_is_killed_goes_on(tmp_path: Path) -> None:
    """kill -9 of the command in the middle, then once more: each mail is there, and once."""
    box = tmp_path / "box"
    total = 3000
    with box.open("wb") as file:
        for number in range(total):
            file.write(b"From a@lan Wed Jan 27 00:00:00 2016\nSubject: %d\n\n%s\n\n" % (number, b"x" * 2000))
    port = free_port()
    async with serving(tmp_path, KEEP + web(port)):
        command = ["-m", "mailbell", "import", "-c", str(tmp_path / "mailbell.toml"), str(box)]
        process = subprocess.Popen([sys.executable, *command])
        ledger = tmp_path / "data" / LEDGER
        deadline = time.monotonic() + 20
        while not ledger.exists() or ledger.stat().st_size < 33 * 64:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with ledger.open("ab") as file:
            file.write(b"torn")
        result = await bring(tmp_path, box)
        assert result.exit_code == 0, result.output
        async with asyncio.timeout(60):
            while len(messages := await inbox(port)) < total:  # noqa: ASYNC110  it may be a thousand behind
                await asyncio.sleep(0.1)
    by_id = {each["ID"]: each["Subject"] for each in messages}
    assert set(by_id.values()) == {str(number) for number in range(total)}
    assert len(messages) - len(by_id) <= 64, (
        "of the batch under way alone some may be there twice, with one ID"
    )


async def test_without_a_server_nothing_is_read(tmp_path: Path) -> None:
    (tmp_path / "mailbell.toml").write_text('data = "data"\n')
    result = await bring(tmp_path, tmp_path / "missing.eml")
    assert result.exit_code == 1
    assert "no server runs on the data folder" in result.stderr


async def test_a_source_that_is_none(tmp_path: Path) -> None:
    async with serving(tmp_path, '[web]\nlisten = "off"'):
        result = await bring(tmp_path, tmp_path / "missing.eml")
        assert "missing.eml: no mail there" in result.stderr
        (tmp_path / "empty").mkdir()
        assert "empty: no mail there" in (await bring(tmp_path, tmp_path / "empty")).stderr
