"""The data folders of earlier versions (tests/data/VERSION) under this one: not a mail is lost."""

import asyncio
import json
import shutil
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mailbell import __version__
from mailbell.cli.main import commands
from mailbell.journal.backup import backup
from mailbell.journal.mails import SCHEMA
from tests.service import Service, configure, start
from tests.test_systemd import send
from tests.tools import ROOT, free_port

FOLDERS = sorted(path for path in (ROOT / "tests" / "data").iterdir() if (path / "journal.db").exists())
SCRIPT = "def on_mail(event):\n    messageLog('note: ' + event['subject'] + ' ' + event['text'].strip())\n"


async def ask(url: str) -> Any:
    def get() -> Any:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)

    return await asyncio.to_thread(get)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
async def test_an_upgrade_loses_nothing(tmp_path: Path, folder: Path) -> None:
    web = f"127.0.0.1:{free_port()}"
    more = f'[journal]\nmax_age = 0\n[web]\nlisten = "{web}"\n[sinks.note]\ntype = "script"\npath = "note.py"'
    config, port = configure(tmp_path, more, files={"note.py": SCRIPT})
    shutil.copytree(folder, tmp_path / "data")
    service = await start(config, port)
    try:
        await look(service, config, web)
    finally:
        assert await service.stop() == 0
    heard = [line for line in service.lines if "note: number" in line or "IO MONITOR" in line]
    assert len(heard) == 4, "nothing came twice"


async def look(service: Service, config: Path, web: str) -> None:
    """Is everything as it was left?"""
    await service.line("send a first mail")  # from here on it answers
    await service.line("note: number 5 Motion at gate 5, caffè")
    await service.line("note: number 6 Motion at gate 6, caffè")
    command = ["replay", "-c", str(config), "note", "--parked"]
    replayed = await asyncio.to_thread(CliRunner().invoke, commands, command)
    assert replayed.stdout == "1 event on the way to note\n", replayed.output
    await service.line("note: number 3 Motion at gate 3")
    async with asyncio.timeout(20):
        while (await ask(f"http://{web}/api/v1/sinks"))[0]["lag"] != 1:  # noqa: ASYNC110  number 4 waits
            await asyncio.sleep(0.02)
    await send(service.port)
    await service.line("IO MONITOR FORCED")
    messages = (await ask(f"http://{web}/api/v1/messages"))["messages"]
    subjects = [each["Subject"] for each in messages]
    assert subjects == ["x", "number 6", "number 5", "number 4", "number 3", "number 1"]
    found = (await ask(f"http://{web}/api/v1/search?query=otion%20affe"))["messages"]
    assert len(found) == 5, "parts of words are found in old mail too"
    assert (messages[-1]["Tags"], messages[-1]["Read"]) == (["kept"], True)
    assert (messages[-2]["Tags"], messages[-2]["Read"]) == (["camera"], False)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_the_new_version_has_written_the_old_one_refuses(tmp_path: Path, folder: Path) -> None:
    """As this one does with what is newer still; the backup made before the upgrade is the way back."""
    backup(folder, tmp_path / "backup", lambda _: None)
    shutil.copytree(folder, tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / "data" / "journal.db")) as db:
        db.execute(f"pragma user_version = {SCHEMA.version + 1}")
    config, _ = configure(tmp_path)
    refused = CliRunner().invoke(commands, ["serve", "-c", str(config)])
    assert refused.exit_code == 1
    assert "written by a newer mailbell" in refused.stderr
    shutil.rmtree(tmp_path / "data")
    restored = CliRunner().invoke(commands, ["restore", "-c", str(config), str(tmp_path / "backup")])
    assert restored.exit_code == 0
    assert "all up to mail 6" in restored.stdout


def test_there_is_a_folder_of_this_version() -> None:
    assert __version__ in [folder.name for folder in FOLDERS], "python -m tests.data.make"
