"""`mailbell export` in each form: read back by the standard library, cut short and gone on with."""

import json
import mailbox
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from mailbell.cli import archive
from mailbell.cli.archive import Archive
from mailbell.cli.mailfiles import quote, split_apart
from mailbell.cli.main import commands
from mailbell.journal.backup import backup
from mailbell.mail import Envelope, Mail, Source, new_id
from tests.journal.engines import SqliteEngine

RAWS = [
    b"Subject: one\r\n\r\nFrom here on\r\n\r\nFrom x 10:00\r\n",
    b"Subject: two\r\n\r\n>From me\r\n",
    b"\r\n",
]
AT = 1_790_000_000_000


def mail(raw: bytes, number: int = 0) -> Mail:
    at = AT + number * 1000
    return Mail(
        new_id(at), at, "door", Source("192.0.2.1", 9, "cam"), Envelope("a@lan", ("b@lan", "c@lan")), raw
    )


async def fill(engine: SqliteEngine, raws: Sequence[bytes]) -> None:
    journal = await engine.open()
    for raw in raws:
        await journal.append(mail(raw, journal.last_sequence))
    await journal.close()


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A data folder with three mails."""
    engine = SqliteEngine(tmp_path / "data")
    await fill(engine, RAWS)
    return engine.path


def export(data: Path, target: Path, *more: str) -> Result:
    result = CliRunner().invoke(commands, ["export", "--data", str(data), *more, str(target)])
    assert result.exit_code == 0, result.output
    return result


def contents(form: str, target: Path) -> list[bytes]:
    """What is in an archive, in the order of its index."""
    if form == "mbox":
        with target.open("rb") as stream:
            return [raw for _, raw in split_apart(stream)]
    notes = [json.loads(line) for line in (target / archive.NAME).read_text().splitlines()]
    return [(target / note["file"]).read_bytes() for note in notes]


@pytest.mark.parametrize("form", ["eml", "mbox", "maildir"])
async def test_every_octet_and_the_next_run_goes_on(tmp_path: Path, data: Path, form: str) -> None:
    target = tmp_path / "out"
    assert export(data, target, "--format", form).stdout == f"{target}: 3 mails written\n"
    assert contents(form, target) == RAWS
    await fill(SqliteEngine(data), [b"Subject: four\r\n\r\n"])
    assert export(data, target, "--format", form).stdout == f"{target}: 1 mail written\n"
    assert contents(form, target) == [*RAWS, b"Subject: four\r\n\r\n"]
    assert export(data, target, "--format", form).stdout == f"{target}: 0 mails written\n"


@pytest.mark.parametrize("form", ["eml", "mbox", "maildir"])
@pytest.mark.parametrize("cut", [1, 40, 200])
def test_what_a_kill_left_half_written_is_written_again(tmp_path: Path, form: str, cut: int) -> None:
    target = tmp_path / "out"
    mails = [mail(raw, number) for number, raw in enumerate(RAWS, 1)]
    with Archive(form, target) as whole:
        for number, each in enumerate(mails, 1):
            whole.add(number, each)
        index = whole._form.index
    os.truncate(index, index.stat().st_size - cut)
    if form == "mbox":
        os.truncate(target, target.stat().st_size - 3)
    with Archive(form, target) as archive_:
        assert archive_.last == 2
        archive_.add(3, mails[2])
    assert contents(form, target) == RAWS
    assert len(index.read_bytes().splitlines()) == 3


async def test_the_standard_library_reads_an_mbox_and_a_maildir(tmp_path: Path, data: Path) -> None:
    export(data, tmp_path / "box", "--format", "mbox")
    export(data, tmp_path / "dir", "--format", "maildir")
    box, folder = mailbox.mbox(tmp_path / "box"), mailbox.Maildir(tmp_path / "dir")
    assert [each["Subject"] for each in box] == ["one", "two", None]
    assert next(iter(box)).get_from() == f"a@lan {time.asctime(time.gmtime(AT / 1000))}"
    assert {each["Subject"] for each in folder} == {"one", "two", None}
    box.close()
    folder.close()


async def test_only_what_came_lately(tmp_path: Path, data: Path) -> None:
    assert "0 mails" in export(data, tmp_path / "none", "--since", "1s").stdout
    years = f"{int((time.time() - AT / 1000) / 86400) + 2}d"
    assert "3 mails" in export(data, tmp_path / "all", "--since", years).stdout


async def test_from_a_backup_and_beside_a_running_journal(tmp_path: Path, data: Path) -> None:
    backup(data, tmp_path / "backup", lambda _: None)
    assert "3 mails" in export(tmp_path / "backup", tmp_path / "out").stdout


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_text("x"), "File exists"),
        (lambda path: (path.mkdir(), (path / archive.NAME).write_text("{}\n")), "none of ours"),
    ],
)
async def test_a_target_that_is_no_use(tmp_path: Path, data: Path, make: object, said: str) -> None:
    assert callable(make)
    make(tmp_path / "out")
    result = CliRunner().invoke(commands, ["export", "--data", str(data), str(tmp_path / "out")])
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr


def test_no_journal(tmp_path: Path) -> None:
    result = CliRunner().invoke(commands, ["export", "--data", str(tmp_path), str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "journal.db: no such file; name the data folder" in result.stderr


@given(
    st.lists(
        st.binary(max_size=60)
        | st.lists(st.sampled_from([b"From x 1:00\n", b">From \n", b"\n", b"a"])).map(b"".join),
        min_size=1,
    )
)
def test_whatever_is_put_into_an_mbox_comes_out(raws: list[bytes]) -> None:
    import io

    raws = [raw if raw.endswith(b"\n") else raw + b"\r\n" for raw in raws]
    box = b"".join(b"From a@lan Mon Jan 25 18:24:49 2016\n%s\n" % quote(raw) for raw in raws)
    assert [raw for _, raw in split_apart(io.BytesIO(box))] == raws
