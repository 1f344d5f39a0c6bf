"""The log, on real files, pipes and full devices."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mailbell.log
from mailbell.log import Log, escape
from mailbell.settings import Duration, LogSettings

EXAMPLE = """\
2016.01.25 18:24:49.582 - IO MONITOR FORCED: smtp.mail = {"from":"My Name <me@example.com>",\
"to":"test@hsyco.com","subject":"This is a test","date":"Mon, 25 Jan 2016 18:24:49 +0100",\
"contenttype":"text/plain; charset=us-ascii","returnpath":"","body":["My mail body."]}
2016.01.25 18:24:49.590 - From: My Name <me@example.com>
2016.01.25 18:24:49.591 - To: test@hsyco.com
2016.01.25 18:24:49.592 - Date: Mon, 25 Jan 2016 18:24:49 +0100
2016.01.25 18:24:49.592 - Subject: This is a test
2016.01.25 18:24:49.593 - Body Line 1: My mail body.
"""
EVENING = 1453742689.582
"""2016-01-25 18:24:49.582 in Rome."""

logger = logging.getLogger("mailbell.test")


class Hands:
    """A clock that stands where it is put."""

    def __init__(self, now: float = EVENING) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class Heard(io.StringIO):
    """Standard error that says when somebody wrote to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        count = super().write(text)
        self.written.set()
        return count


@pytest.fixture(autouse=True)
def _rome(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Rome")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The standard streams as the log sees them; pytest puts its own into `sys` for each phase of a test."""
    streams = SimpleNamespace(stdout=None, stderr=sys.stderr)
    monkeypatch.setattr(mailbell.log, "sys", streams)
    return streams


@pytest.fixture
def heard(streams: SimpleNamespace) -> Heard:
    streams.stderr = Heard()
    return cast("Heard", streams.stderr)


@pytest.fixture
def pipe(streams: SimpleNamespace) -> Iterator[io.FileIO]:
    """Standard output is a pipe; this is the end to read from."""
    read, write = os.pipe()
    with io.FileIO(read) as reader, os.fdopen(write, "w") as streams.stdout:
        yield reader


def quiet(**options: object) -> LogSettings:
    return LogSettings(terminal=False, **options)  # type: ignore[arg-type]


def file_of(folder: Path, day: str = "2016/0125") -> Path:
    return folder / "logs" / f"{day}-message.log"


def wait_for_the_file(log: Log) -> None:
    writer = log._writers[0]
    deadline = time.monotonic() + 10
    while writer._done < writer._taken:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_the_example_comes_out_byte_for_byte(tmp_path: Path, pipe: io.FileIO) -> None:
    clock = Hands()
    with Log(LogSettings(), tmp_path, clock):
        for line in EXAMPLE.splitlines():
            clock.now = int(EVENING) + int(line[20:23]) / 1000
            logger.info("%s", line[26:])
    assert file_of(tmp_path).read_bytes() == EXAMPLE.encode()
    assert pipe.read(4096) == EXAMPLE.encode()


def test_errors_have_a_plus(tmp_path: Path) -> None:
    with Log(quiet(), tmp_path, Hands()):
        logger.warning("a warning")
        logger.error("an error")
        logger.critical("worse")
    marks = [line[24] for line in file_of(tmp_path).read_text().splitlines()]
    assert marks == ["-", "+", "+"]


def test_libraries_are_heard_from_warning_up_and_we_from_info(tmp_path: Path) -> None:
    with Log(quiet(), tmp_path, Hands()):
        logger.debug("ours, debug")
        logger.info("ours, info")
        logging.getLogger("aiohttp").info("theirs, info")
        logging.getLogger("aiohttp").warning("theirs, warning")
    texts = [line[26:] for line in file_of(tmp_path).read_text().splitlines()]
    assert texts == ["ours, info", "theirs, warning"]


def test_stop_leaves_logging_as_it_was(tmp_path: Path) -> None:
    before = logging.getLogger().handlers[:], logging.getLogger("mailbell").level
    with Log(quiet(), tmp_path, Hands()):
        assert logging.getLogger().handlers != before[0]
    assert (logging.getLogger().handlers, logging.getLogger("mailbell").level) == before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("the log")]


def test_json_lines(tmp_path: Path) -> None:
    with Log(quiet(format="json"), tmp_path, Hands()):
        logger.info("mail %s", "ü\n\x7f\u2028", extra={"fields": {"sink": "a", "tries": 3, "time": "forged"}})
    (line,) = file_of(tmp_path).read_text().splitlines()
    assert "\u2028" not in line
    assert json.loads(line) == {
        "time": "2016-01-25T18:24:49.582+01:00",
        "level": "info",
        "logger": "mailbell.test",
        "message": "mail ü\n\x7f\u2028",
        "sink": "a",
        "tries": 3,
    }


def test_json_lines_survive_fields_that_json_lacks(tmp_path: Path) -> None:
    with Log(quiet(format="json"), tmp_path, Hands()):
        logger.info("path", extra={"fields": {"path": Path("/x"), "half": "a\ud800", "nan": float("nan")}})
    line = json.loads(file_of(tmp_path).read_text())
    assert (line["path"], line["half"]) == ("/x", "a\\ud800")


@pytest.mark.parametrize("format_", ["hsyco", "json"])
def test_a_traceback_stays_on_its_line(tmp_path: Path, format_: str) -> None:
    with Log(quiet(format=format_), tmp_path, Hands()):
        try:
            raise ValueError("two\nlines")
        except ValueError:
            logger.exception("it failed")
        logger.info("next")
    first, second = file_of(tmp_path).read_text().splitlines()
    assert "it failed" in first
    assert r"Traceback (most recent call last):\n" in first
    assert r"ValueError: two\nlines" in first
    assert "next" in second


def test_escape_names_what_it_takes_out() -> None:
    assert escape("a\r\n\t\x00\x1b[31m\x7f\x85\u2028\u202e\ud83d") == (
        r"a\r\n\t\x00\x1b[31m\x7f\x85\u2028\u202e\ud83d"
    )
    assert escape("tschüß 漢字 😀 שלום \\n") == "tschüß 漢字 😀 שלום \\n"


@given(st.text(st.characters() | st.sampled_from("\n\r\x1b\x85\u2028\u202e\u2066\ud800\udfff")))
def test_no_text_can_forge_a_line(text: str) -> None:
    record = logger.makeRecord("mailbell.test", logging.INFO, "", 0, "%s", (text,), None)
    for form in mailbell.log._FORMATS.values():
        line = form(record, mailbell.log._local(int(EVENING)), 582)
        assert line.endswith("\n")
        assert len(line.splitlines()) == 1
        assert not mailbell.log._UNSAFE.search(line[:-1])
        line.encode()


def test_a_file_a_day_and_the_clock_may_jump(tmp_path: Path) -> None:
    clock = Hands()
    midnight = 1453762800
    with Log(quiet(keep=Duration(0)), tmp_path, clock):
        for now in (midnight - 0.001, midnight, midnight - 86400 * 40, midnight + 86400 * 366):
            clock.now = now
            logger.info("now")
    texts = {
        path.relative_to(tmp_path / "logs").as_posix(): path.read_text() for path in tmp_path.rglob("*.log")
    }
    assert texts == {
        "2015/1217-message.log": "2015.12.17 00:00:00.000 - now\n",
        "2016/0125-message.log": "2016.01.25 23:59:59.999 - now\n",
        "2016/0126-message.log": "2016.01.26 00:00:00.000 - now\n",
        "2017/0126-message.log": "2017.01.26 00:00:00.000 - now\n",
    }


@pytest.mark.parametrize(
    ("utc", "hsyco", "json_"),
    [  # Rome's last night of summer time, and its first
        (1792969199.999, "2026.10.25 23:59:59.999", "2026-10-25T23:59:59.999+01:00"),
        (1792969200.000, "2026.10.26 00:00:00.000", "2026-10-26T00:00:00.000+01:00"),
        (1792889999.999, "2026.10.25 02:59:59.999", "2026-10-25T02:59:59.999+02:00"),
        (1792890000.000, "2026.10.25 02:00:00.000", "2026-10-25T02:00:00.000+01:00"),
        (1792879200.000, "2026.10.25 00:00:00.000", "2026-10-25T00:00:00.000+02:00"),
        (1774745999.999, "2026.03.29 01:59:59.999", "2026-03-29T01:59:59.999+01:00"),
        (1774746000.000, "2026.03.29 03:00:00.000", "2026-03-29T03:00:00.000+02:00"),
    ],
)
def test_the_clocks_go_back_and_forward(tmp_path: Path, utc: float, hsyco: str, json_: str) -> None:
    for format_ in ("hsyco", "json"):
        folder = tmp_path / format_
        with Log(quiet(format=format_), folder, Hands(utc)):
            logger.info("now")
        [file] = folder.rglob("*.log")
        assert (
            file.relative_to(folder / "logs").as_posix()
            == f"{hsyco[:4]}/{hsyco[5:10].replace('.', '')}-message.log"
        )
        line = file.read_text()
        assert line == f"{hsyco} - now\n" if format_ == "hsyco" else json.loads(line)["time"] == json_


def test_the_hour_that_comes_twice_is_in_one_file_in_order(tmp_path: Path) -> None:
    clock = Hands()
    with Log(quiet(), tmp_path, clock):
        for minute in range(-90, 91, 30):
            clock.now = 1792890000.0 + 60 * minute
            logger.info("%d", minute)
    lines = file_of(tmp_path, "2026/1025").read_text().splitlines()
    assert [line.split()[1][:5] for line in lines] == [
        "01:30",
        "02:00",
        "02:30",
        "02:00",
        "02:30",
        "03:00",
        "03:30",
    ]
    assert [line.split()[-1] for line in lines] == ["-90", "-60", "-30", "0", "30", "60", "90"]


def test_old_files_go_and_others_stay(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    names = ["2014/1231-message.log", "2016/0115-message.log", "2016/0116-message.log", "2016/notes.txt"]
    for name in names:
        (logs / name).parent.mkdir(parents=True, exist_ok=True)
        (logs / name).write_text("")
    with Log(quiet(keep=Duration(9 * 86400)), tmp_path, Hands()):
        logger.info("a new day")
    left = sorted(path.relative_to(logs).as_posix() for path in logs.rglob("*.*"))
    assert left == ["2016/0116-message.log", "2016/0125-message.log", "2016/notes.txt"]
    assert not (logs / "2014").exists()


@pytest.mark.parametrize("keep", [0, 1e15])
def test_files_can_be_kept_for_ever(tmp_path: Path, keep: float) -> None:
    old = file_of(tmp_path, "1970/0101")
    old.parent.mkdir(parents=True)
    old.touch()
    with Log(quiet(keep=Duration(keep)), tmp_path, Hands()):
        logger.info("a new day")
    assert old.exists()


def test_a_line_that_a_loss_of_power_cut_is_ended(tmp_path: Path) -> None:
    file = file_of(tmp_path)
    file.parent.mkdir(parents=True)
    file.write_text("2016.01.25 18:24:49.100 - half a li")
    with Log(quiet(), tmp_path, Hands()):
        logger.info("after")
    assert file.read_text().splitlines() == [
        "2016.01.25 18:24:49.100 - half a li",
        "2016.01.25 18:24:49.582 - after",
    ]


def test_a_full_disk_is_told_once_and_nothing_is_lost(
    tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbell.log, "RETRY", 0.01)
    file = file_of(tmp_path)
    file.parent.mkdir(parents=True)
    file.symlink_to("/dev/full")
    with Log(quiet(), tmp_path, Hands()) as log:
        logger.info("first")
        assert heard.written.wait(10)
        for number in range(1000):
            logger.info("line %d", number)
        file.unlink()
        wait_for_the_file(log)
    texts = [line[26:] for line in file.read_text().splitlines()]
    assert texts[0] == "first"
    assert [text for text in texts if text.startswith("line")] == [f"line {n}" for n in range(1000)]
    assert sum("No space left on device" in text for text in texts) == 1
    assert heard.getvalue().count("No space left on device") == 1


def test_stop_with_a_full_disk_says_what_is_lost(tmp_path: Path, heard: Heard) -> None:
    file = file_of(tmp_path)
    file.parent.mkdir(parents=True)
    file.symlink_to("/dev/full")
    with Log(quiet(), tmp_path, Hands()):
        logger.info("one")
        logger.info("two")
    assert "lines lost: 2" in heard.getvalue()


def test_half_a_batch_is_not_written_twice(tmp_path: Path) -> None:
    """A file size limit makes the kernel take a part of a write, as a disk that fills up does."""
    script = """
        import io, logging, resource, sys, time
        from pathlib import Path
        import mailbell.log
        from mailbell.clock import SystemClock
        from mailbell.settings import LogSettings

        mailbell.log.RETRY = 0.01
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))

        class Lifts(io.StringIO):
            def write(self, text):
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

        sys.stderr = Lifts()
        with mailbell.log.Log(LogSettings(terminal=False), Path(sys.argv[1]), SystemClock()) as log:
            for number in range(100):
                logging.getLogger("mailbell").info("line %d", number)
            while log._writers[0]._done < log._writers[0]._taken:
                time.sleep(0.001)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), tmp_path], check=True, timeout=30)
    (file,) = tmp_path.rglob("*.log")
    texts = [line[26:] for line in file.read_text().splitlines()]
    assert [text for text in texts if text.startswith("line")] == [f"line {n}" for n in range(100)]
    assert "File too large" in texts[-1]


def test_a_removed_file_is_begun_anew(tmp_path: Path, pipe: io.FileIO) -> None:
    with Log(LogSettings(), tmp_path, Hands()) as log:
        logger.info("before")
        wait_for_the_file(log)
        file_of(tmp_path).unlink()
        logger.info("after")
    assert file_of(tmp_path).read_text() == "2016.01.25 18:24:49.582 - after\n"
    assert len(pipe.read(4096).splitlines()) == 2


def test_a_closed_terminal_is_told_once_in_the_file(tmp_path: Path, pipe: io.FileIO) -> None:
    with Log(LogSettings(), tmp_path, Hands()) as log:
        pipe.close()
        for number in range(10):
            logger.info("line %d", number)
        log._writers[1].join(10)
        logger.info("the last")
    texts = [line[26:] for line in file_of(tmp_path).read_text().splitlines()]
    assert [text for text in texts if text.startswith("line")] == [f"line {n}" for n in range(10)]
    assert texts[-1] == "the last"
    assert sum("Broken pipe" in text for text in texts) == 1


def test_a_stopped_terminal_holds_up_neither_the_file_nor_the_end(
    tmp_path: Path, pipe: io.FileIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbell.log, "STOP_WITHIN", 0.1)
    with Log(LogSettings(), tmp_path, Hands()) as log:
        for _ in range(200):
            logger.info("x" * 1000)
        wait_for_the_file(log)
        assert file_of(tmp_path).read_text().count("\n") == 200
    assert log._writers[1].is_alive()
    pipe.close()
    log._writers[1].join(10)


def test_lines_that_are_too_many_for_the_terminal_are_counted(
    tmp_path: Path, pipe: io.FileIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbell.log, "MOST_PENDING", 100_000)
    with Log(LogSettings(), tmp_path, Hands()) as log:
        for number in range(200):
            logger.info("%-1000d", number)
            if number % 50 == 0:
                wait_for_the_file(log)
        seen, lost = b"", 0
        while seen.count(b" \n") + lost < 200:
            logger.info("next")  # so that there is always something to read
            seen += pipe.read(1 << 20)
            lost = sum(map(int, re.findall(rb"lines lost: (\d+)", seen)))
    assert lost
    assert file_of(tmp_path).read_bytes().count(b" \n") == 200


def test_a_call_that_does_not_fit_its_message_is_reported_and_not_raised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = logger.makeRecord("mailbell.test", logging.INFO, "", 0, "%d lines", ("no number",), None)
    with Log(quiet(), tmp_path, Hands()) as log:
        log._handler.handle(record)  # the handlers of pytest would raise
        logger.info("fine")
    assert "no number" in capsys.readouterr().err
    assert file_of(tmp_path).read_text() == "2016.01.25 18:24:49.582 - fine\n"


def test_a_terminal_of_another_charset(tmp_path: Path, pipe: io.FileIO, streams: SimpleNamespace) -> None:
    streams.stdout.reconfigure(encoding="ascii")
    with Log(LogSettings(), tmp_path, Hands()):
        logger.info("grün")
    assert pipe.read(4096) == b"2016.01.25 18:24:49.582 - gr\\xfcn\n"


@pytest.mark.usefixtures("streams")
def test_without_a_terminal_the_file_goes_on(tmp_path: Path) -> None:
    with Log(LogSettings(), tmp_path, Hands()):
        logger.info("text")
    assert file_of(tmp_path).read_text() == "2016.01.25 18:24:49.582 - text\n"
