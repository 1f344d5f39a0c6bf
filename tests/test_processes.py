"""The parent's side of the delivering process: what is there before the child is."""

import asyncio
import contextlib
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailbell.clock import SystemClock
from mailbell.errors import DataError, StartupError
from mailbell.journal.folder import DataFolder
from mailbell.processes import DeliveringProcess
from mailbell.receiving import Receiving
from mailbell.settings import CommandSettings, ServiceSettings, WebSettings
from tests.journal.conformance import mail
from tests.service import PATIENCE


def settings(data: Path, *sinks: str, web: str = "off") -> ServiceSettings:
    command = CommandSettings(argv=("/bin/true",))
    return ServiceSettings(data=data, sinks=dict.fromkeys(sinks, command), web=WebSettings(listen=web))


@contextlib.asynccontextmanager
async def receiving(given: ServiceSettings) -> AsyncIterator[tuple[Receiving, DeliveringProcess]]:
    """A journal that is open, and a delivering process that is not started."""
    with DataFolder(given.data) as folder:
        half = Receiving(given, folder, SystemClock())
        await half.open()
        try:
            yield half, DeliveringProcess(given, folder, half)
        finally:
            await half.close()


def floors(data: Path) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(data / "delivery.db")) as database:
        return dict(database.execute("select name, floor from consumer").fetchall())


async def test_consumers_have_their_place_before_there_is_a_process(tmp_path: Path) -> None:
    async with receiving(settings(tmp_path, "old")) as (half, process):
        await process.start()
        await half.writer.append(mail())
        await process.close()
    assert floors(tmp_path) == {"io": 0, "old": 0}
    async with receiving(settings(tmp_path, "old", "new", web="127.0.0.1:0")) as (half, process):
        await process.start()
        await half.writer.append(mail())
        await process.close()
    assert floors(tmp_path) == {"io": 0, "old": 0, "new": 1, "inbox": 1}


async def test_the_process_goes_on_from_there(tmp_path: Path) -> None:
    os.mkfifo(told := tmp_path / "told")
    sink = CommandSettings(argv=("/bin/sh", "-c", f"exec cat >{told}"))
    given = ServiceSettings(data=tmp_path / "data", sinks={"a": sink}, web=WebSettings(listen="off"))
    async with receiving(given) as (half, process):
        await process.start()
        await half.writer.append(mail(b"Subject: early\r\n\r\n"))
        assert await process.open(["smtp"]) is None
        assert "early" in await asyncio.wait_for(asyncio.to_thread(told.read_text), PATIENCE)
        await process.close()
    assert floors(given.data) == {"io": 1, "a": 1}


async def test_a_file_that_is_no_use_is_told_before_there_is_a_process(tmp_path: Path) -> None:
    (tmp_path / "delivery.db").write_bytes(b"not a database at all" * 1000)
    async with receiving(settings(tmp_path)) as (_, process):
        with pytest.raises(DataError, match=r"delivery\.db: damaged"):
            await process.start()
        await process.close()


async def test_a_process_that_does_not_start_loses_no_mail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    data = tmp_path / "data"
    async with receiving(settings(data, "a")) as (half, process):
        await process.start()
        await half.writer.append(mail())
        with pytest.raises(StartupError, match="does not start"):
            await process.open(["smtp"])
        await process.close()
    assert floors(data) == {"io": 0, "a": 0}
