"""`mailbell convert`, with the real conversion."""

import json
import os
import pty
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from mailbell.cli.main import commands
from mailbell.event.schema import MailEvent

EXAMPLE = (
    b"From: My Name <me@example.com>\r\nTo: test@hsyco.com\r\nSubject: This is a test\r\n"
    b"Date: Mon, 25 Jan 2016 18:24:49 +0100\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    b"My mail body.\r\n"
)
VALUE = (
    '{"from":"My Name <me@example.com>","to":"test@hsyco.com","subject":"This is a test",'
    '"date":"Mon, 25 Jan 2016 18:24:49 +0100","contenttype":"text/plain; charset=us-ascii","returnpath":"",'
    '"body":["My mail body."]}\n'
)


def convert(*arguments: str, data: bytes = b"") -> Result:
    return CliRunner().invoke(commands, ["convert", *arguments], input=data)


def test_the_hsyco_form_of_the_example() -> None:
    assert convert("--format", "hsyco", "-", data=EXAMPLE).stdout == VALUE


def test_rawbody() -> None:
    data = EXAMPLE.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n").replace(
        b"My mail body.", b"TXk="
    )
    assert json.loads(convert("--format", "hsyco", "-", data=data).stdout)["body"] == ["My"]
    assert json.loads(convert("--format", "hsyco", "--rawbody", "-", data=data).stdout)["body"] == ["TXk="]


def test_the_full_form(tmp_path: Path) -> None:
    file = tmp_path / "a.eml"
    file.write_bytes(EXAMPLE)
    os.utime(file, (1453742689, 1453742689))
    event = msgspec.json.decode(convert(str(file)).stdout, type=MailEvent)
    assert (event.subject, event.text) == ("This is a test", "My mail body.\n")
    assert datetime.fromisoformat(event.received_at).timestamp() == 1453742689
    assert (event.envelope.mail_from, event.envelope.rcpt_to) == ("", ())


def test_one_line_a_message_whatever_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(EXAMPLE)
    (tmp_path / "b.mbox").write_bytes(
        b"From x Mon Jan 25 18:24:49 2016\nSubject: 1\n\n\nFrom y Mon Jan 25 18:24:49 2016\nSubject: 2\n\n\n"
    )
    lines = convert(str(tmp_path)).stdout.splitlines()
    assert [json.loads(line)["subject"] for line in lines] == ["This is a test", "1", "2"]


def test_a_file_that_is_not_there_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(EXAMPLE)
    result = convert("gone.eml", str(tmp_path / "a.eml"))
    assert result.exit_code == 1
    assert result.stderr == "mailbell: gone.eml: No such file or directory\n"
    assert json.loads(result.stdout)["subject"] == "This is a test"


def test_progress_is_shown_on_a_terminal_only(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.eml").write_bytes(EXAMPLE + b"x" * 2**20)
    command = [sys.executable, "-m", "mailbell", "convert", "--format", "hsyco", str(tmp_path)]
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        output = process.communicate(timeout=60)[0]
    shown = b""
    with pytest.raises(OSError, match="Input/output error"):  # Linux's end of a terminal
        while True:
            shown += os.read(ours, 4096)
    os.close(ours)
    assert output.count(b"\n") == 5
    assert b"converting" in shown
    assert b"100%" in shown
    assert subprocess.run(command, capture_output=True, check=True, timeout=60).stderr == b""


def test_a_reader_that_stops_early_is_no_error(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}.eml").write_bytes(EXAMPLE + b"x" * 10_000)
    command = [sys.executable, "-m", "mailbell", "convert", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
