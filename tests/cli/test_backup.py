"""`mailbell backup` and `restore` of a server under load: nothing that was acknowledged before is missing."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner, Result

from mailbell.cli.main import commands
from tests.e2e.test_kill import CLIENTS, SCRIPT, more, send_for_ever
from tests.service import configure, start

BACKUPS = 3


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, commands, arguments)


async def test_backups_under_load_and_their_restoring(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    files = {"note.py": SCRIPT.format(path=str(seen))}
    config, port = configure(tmp_path, '[sinks.note]\ntype = "script"\npath = "note.py"', files=files)
    acknowledged: set[str] = set()
    service = await start(config, port)
    await service.line("SMTP on")
    load = [asyncio.create_task(send_for_ever(port, f"c{n}", acknowledged)) for n in range(CLIENTS)]
    before: list[set[str]] = []
    for number in range(BACKUPS):
        await more(acknowledged, 50)
        before.append(set(acknowledged))
        result = await run("backup", "-c", str(config), str(tmp_path / f"backup-{number}"))
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith(f"{tmp_path}/backup-{number}: all up to mail ")
    for task in load:
        task.cancel()
    await asyncio.wait(load)
    await service.kill()
    for number, known in enumerate(before):
        await everything_is_in(tmp_path, number, known, files)


async def everything_is_in(tmp_path: Path, number: int, known: set[str], files: dict[str, str]) -> None:
    """The restored journal has all of it, and what its positions don't call delivered is delivered now."""
    folder = tmp_path / f"house-{number}"
    folder.mkdir()
    seen = folder / "seen"
    seen.touch()
    files = {"note.py": SCRIPT.format(path=str(seen))}
    config, port = configure(folder, '[sinks.note]\ntype = "script"\npath = "note.py"', files=files)
    result = await run("restore", "-c", str(config), str(tmp_path / f"backup-{number}"))
    assert result.exit_code == 0, result.output
    subjects, settled = contents(folder / "data")
    assert known <= set(subjects)
    service = await start(config, port)
    await service.line("SMTP on")
    missing = {subject for subject in subjects if subject not in settled}
    async with asyncio.timeout(30):
        while missing - set(seen.read_text().splitlines()):  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.02)
    status = json.loads((await run("status", "-c", str(config), "--json")).stdout)
    assert status["journal"]["last_sequence"] == len(subjects)
    assert await service.stop() == 0
    assert not [line for line in service.lines if "damage" in line or "removed meanwhile" in line]


def contents(data: Path) -> tuple[list[str], set[str]]:
    """The subjects in order, and those of them that the positions call delivered."""
    with closing(sqlite3.connect(data / "journal.db")) as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        raws = [raw for (raw,) in db.execute("select raw from mail order by sequence")]
    subjects = [raw.split(b"\r\n")[0].removeprefix(b"Subject: ").decode() for raw in raws]
    with closing(sqlite3.connect(data / "delivery.db")) as db:
        [(floor,)] = db.execute("select floor from consumer where name = 'note'").fetchall()
        waiting = {sequence for (sequence,) in db.execute("select sequence from waiting")}
    settled = {subject for at, subject in enumerate(subjects, 1) if at <= floor and at not in waiting}
    return subjects, settled


async def test_a_folder_that_is_none(tmp_path: Path) -> None:
    result = await run("backup", "--data", str(tmp_path), str(tmp_path / "copy"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no such file; name the data folder" in result.stderr
