"""The data folder: made, private, locked; and every way it can be no use, in one line each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailbell.errors import DataError
from mailbell.journal.folder import DataFolder
from tests.tools import need_root

IMPORT = "import os, sys, pathlib; from mailbell.journal.folder import DataFolder; "
BECOME_NOBODY = "os.setuid(65534); "
HOLD = "folder = DataFolder(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"


def test_a_missing_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with DataFolder(path) as folder:
        assert path.stat().st_mode & 0o777 == 0o700
        assert folder.free() > 0
        assert repr(folder) == f"<DataFolder {path}>"


def test_a_second_one_is_told_who_has_it(tmp_path: Path) -> None:
    with (
        DataFolder(tmp_path),
        pytest.raises(DataError, match=f"^data folder .* is in use by process {os.getpid()}; stop"),
    ):
        DataFolder(tmp_path)
    DataFolder(tmp_path).close()


def test_a_process_that_is_killed_lets_go_of_it(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", IMPORT + HOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(DataError, match=f"in use by process {process.pid};"):
            DataFolder(tmp_path)
        process.kill()
    DataFolder(tmp_path).close()


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(
            DataError, match=r"(File exists|Not a directory); let this user write there, or choose another"
        ):
            DataFolder(path)


def test_a_folder_of_another_user(tmp_path: Path) -> None:
    need_root()
    for path in (tmp_path / "data", Path("/nobody-may-write-here")):
        argv = [sys.executable, "-c", IMPORT + BECOME_NOBODY + HOLD, str(path)]
        done = subprocess.run(argv, input=b"", capture_output=True, check=False)
        assert b"DataError: data folder" in done.stderr
        assert b"Permission denied; let this user write there" in done.stderr
        assert not path.exists()
