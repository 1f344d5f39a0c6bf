from pathlib import Path

import pytest

from tests.journal.engines import SqliteEngine


@pytest.fixture
def engine(tmp_path: Path) -> SqliteEngine:
    return SqliteEngine(tmp_path / "data")
