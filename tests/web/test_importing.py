"""`POST /api/v1/import` on the control socket: whole mails, or a reason."""

from collections.abc import AsyncIterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.errors import JournalFull
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.mail import Mail
from mailbell.settings import JournalSettings
from mailbell.web.control import ControlSocket
from mailbell.web.importing import _decode, route
from mailbell.web.sunpath import NAME
from tests.sinks.conftest import mail

encode = msgspec.msgpack.encode


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    with DataFolder(tmp_path / "data") as folder:
        journal = await SqliteJournal.open(folder, JournalSettings())
        yield journal
        await journal.close()


async def post(tmp_path: Path, journal: SqliteJournal, body: bytes) -> tuple[int, str]:
    control = ControlSocket(tmp_path, [route(journal)])
    await control.start()
    try:
        connector = aiohttp.UnixConnector(str(tmp_path / NAME))
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.post("http://x/api/v1/import", data=BytesIO(body)) as answer,
        ):
            return answer.status, await answer.text()
    finally:
        await control.stop()


async def test_mails_as_they_are_and_in_order(tmp_path: Path, journal: SqliteJournal) -> None:
    mails = [mail(str(number), "x" * number * 100_000) for number in range(30)]
    status, text = await post(tmp_path, journal, encode(mails))
    assert status == 200
    assert msgspec.json.decode(text) == {"stored": [each.id for each in mails], "error": None}
    assert [await journal.read(number) for number in range(1, 31)] == mails


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not a list of mails"),
        (b"[]", "not a list of mails"),
        (encode([{"id": 1}]), "not a list of mails"),
        (encode([msgspec.structs.replace(mail(), id="../x\n")]), "'../x\\n' is no ID of a mail"),
    ],
)
async def test_what_is_no_mail(tmp_path: Path, journal: SqliteJournal, body: bytes, said: str) -> None:
    status, text = await post(tmp_path, journal, body)
    assert status == 400
    assert text.startswith(said)
    assert journal.last_sequence == 0


async def test_a_full_disk_says_which_are_stored(
    tmp_path: Path, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = journal.append

    async def full(each: Mail) -> int:
        if journal.last_sequence:
            raise JournalFull("no room")
        return await append(each)

    monkeypatch.setattr(journal, "append", full)
    await append(mail("first"))
    status, text = await post(tmp_path, journal, encode([mail("second")]))
    assert (status, msgspec.json.decode(text)) == (200, {"stored": [], "error": "no room"})


@given(st.binary() | st.binary().map(lambda data: encode([{"id": "x", "raw": data}])))
def test_octets_that_are_no_mails_raise_nothing_else(data: bytes) -> None:
    with suppress(msgspec.MsgspecError):
        assert all(isinstance(each, Mail) for each in _decode(data))
