import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest

from mailbell.scripting import watch
from mailbell.scripting.watch import Signature, saves, signature


async def next_save(changes: AsyncGenerator[Signature, None]) -> Signature:
    async with asyncio.timeout(10):
        return await anext(changes)


async def test_every_way_to_save_a_file(tmp_path: Path) -> None:
    path = tmp_path / "script.js"
    path.write_text("1")
    async with aclosing(saves(path, signature(path))) as changes:
        following = asyncio.ensure_future(next_save(changes))
        await asyncio.sleep(0.1)  # the watch begins in a thread, which nobody can ask whether it has
        path.write_text("in place")
        assert await following == signature(path)
        (tmp_path / "new").write_text("renamed")
        (tmp_path / "new").rename(path)
        assert await next_save(changes) == signature(path) is not None
        path.unlink()
        assert await next_save(changes) is None
        path.write_text("again")
        assert await next_save(changes) == signature(path) is not None


async def test_what_was_saved_before_the_watch_began_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CHECK_EVERY", 50)
    path = tmp_path / "script.js"
    path.write_text("1")
    async with aclosing(saves(path, None)) as changes:
        assert await next_save(changes) == signature(path)


async def test_a_folder_that_comes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "CHECK_EVERY", 50)
    path = tmp_path / "folder" / "script.js"
    async with aclosing(saves(path, None)) as changes:
        following = asyncio.ensure_future(next_save(changes))
        await asyncio.sleep(0)
        path.parent.mkdir()
        path.write_text("1")
        assert await following == signature(path)
        path.unlink()
        path.parent.rmdir()
        assert await next_save(changes) is None
        path.parent.mkdir()
        path.write_text("2")
        assert await next_save(changes) == signature(path)
