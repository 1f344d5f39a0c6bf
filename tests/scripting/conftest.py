"""Scripts written to a folder, and a log that can be waited for."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str, str], Path]


class Lines(logging.Handler):
    """What was logged, as `- text` and `+ text`; `appears` waits for a line that contains a text."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []
        self._more = asyncio.Event()
        self.logger = logging.Logger("script", logging.INFO)  # noqa: LOG001  one for each test
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(f"{'+' if record.levelno >= logging.ERROR else '-'} {record.getMessage()}")
        self._more.set()

    async def appears(self, text: str, seconds: float = 10) -> str:
        async with asyncio.timeout(seconds):
            while True:
                for line in self.all:
                    if text in line:
                        return line
                self._more.clear()
                await self._more.wait()


@pytest.fixture
def log() -> Lines:
    return Lines()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Save a file the way careful editors do: written beside it, then renamed over it."""

    def save(name: str, text: str) -> Path:
        path, new = tmp_path / name, tmp_path / f"{name}~"
        new.write_text(text, encoding="utf-8", errors="surrogatepass")
        return new.rename(path)

    return save
