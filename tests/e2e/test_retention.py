"""What the journal's retention removes is gone from the inbox and the API, and nothing else is."""

import asyncio
from pathlib import Path

import pytest

from mailbell import delivering
from mailbell.errors import MailGone
from mailbell.settings import Duration, JournalSettings, ServiceSettings, WebhookSettings
from tests.tools import free_port
from tests.web.conftest import Api, serving, settings
from tests.web.test_live import next_of


async def until_left(api: Api, count: int) -> None:
    async with asyncio.timeout(20):
        while len(await api.ids()) != count:  # noqa: ASYNC110  over the API
            await asyncio.sleep(0.02)


async def test_through_journal_and_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivering, "TRIM_EVERY", 0.05)
    plain = settings(tmp_path)
    fields = {name: getattr(plain, name) for name in plain.__struct_fields__}
    hour = ServiceSettings(**{**fields, "journal": JournalSettings(max_age=Duration(3600))})
    async with serving(hour) as api:
        for number in range(5):
            await api.mail(f"unique{number}")
        ids = await api.ids()
        async with api.http.ws_connect(f"{api.url}/api/events") as socket:
            ahead = api.app.clock.time
            monkeypatch.setattr(api.app.clock, "time", lambda: ahead() + 3601)
            assert await next_of(socket, "prune") is None
        await until_left(api, 1)  # the newest stays
        assert await api.ids() == ids[:1]
        for id_ in ids[1:]:
            assert (await api.ask("GET", f"/api/v1/message/{id_}"))[0] == 404
        assert await api.subjects("/api/v1/search?query=unique") == ["unique4"]
        assert (await api.get("/api/v1/info"))["Messages"] == 1
        with pytest.raises(MailGone):
            await api.delivering.journal.read(1)


async def test_what_is_yet_to_be_delivered_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivering, "TRIM_EVERY", 0.05)

    plain = settings(tmp_path)
    fields = {name: getattr(plain, name) for name in plain.__struct_fields__}
    down = WebhookSettings(url=f"http://127.0.0.1:{free_port()}")
    fields |= {"journal": JournalSettings(max_age=Duration(3600)), "sinks": {"down": down}}
    async with serving(ServiceSettings(**fields)) as api:
        for number in range(3):
            await api.mail(f"n{number}")
        assert len(await api.ids()) == 3
        ahead = api.app.clock.time
        monkeypatch.setattr(api.app.clock, "time", lambda: ahead() + 3601)
        trimmed = [await api.delivering.journal.trim() for _ in range(3)]
        assert trimmed == [0, 0, 0]
        assert len(await api.ids()) == 3
