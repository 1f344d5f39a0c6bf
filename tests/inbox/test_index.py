"""The index as a projection of the journal: complete, in order, rebuildable, and what users do with it."""

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mailbell.inbox import store
from mailbell.inbox.index import Inbox
from mailbell.mailbox import Arrived, Change, Deleted, Pruned, Search, Truncated, Updated
from mailbell.settings import Duration, JournalSettings
from tests.inbox.conftest import NOW, House, mail, until
from tests.tools import ROOT


async def subjects(inbox: Inbox, query: str | None = None) -> list[str]:
    found = await inbox.page(Search(query) if query else None)
    return [entry.summary.subject for entry in found.entries]


async def test_what_got_its_250_is_in_the_very_next_answer(house: House) -> None:
    async with house.inbox() as inbox:
        for number in range(20):
            await house.journal.append(mail(f"n{number}"))
            assert (await subjects(inbox))[0] == f"n{number}"


async def test_newest_first_in_pages(house: House) -> None:
    async with house.inbox() as inbox:
        for number in range(5):
            await house.journal.append(mail(f"n{number}", at=NOW + number))
        page = await inbox.page(start=1, limit=2)
        assert [entry.summary.subject for entry in page.entries] == ["n3", "n2"]
        assert (page.count, page.unread) == (5, 5)
        before = await inbox.page(before=NOW + 2)
        assert [entry.summary.subject for entry in before.entries] == ["n1", "n0"]


async def test_mail_of_before_the_index_is_in_it(house: House) -> None:
    async with house.engine.opened() as journal:
        for number in range(250):
            await journal.append(mail(f"n{number}"))
    async with house.inbox() as inbox:
        assert await subjects(inbox) == [f"n{number}" for number in reversed(range(250))]


async def test_a_restart_indexes_nothing_twice(house: House) -> None:
    async with house.inbox() as inbox:
        await house.journal.append(mail("first"))
        await subjects(inbox)
    house.converted = 0
    async with house.inbox() as inbox:
        await house.journal.append(mail("second"))
        assert await subjects(inbox) == ["second", "first"]
    assert house.converted == 1


@pytest.mark.parametrize("lost", ["index.db", "delivery.db"])
async def test_either_side_may_lose_its_last_moments(house: House, tmp_path: Path, lost: str) -> None:
    """A power cut: one file is as it was two mails ago, the other is not."""
    async with house.inbox() as inbox:
        await house.journal.append(mail("one"))
        await subjects(inbox)
    shutil.copyfile(house.path / lost, tmp_path / "earlier")
    async with house.inbox() as inbox:
        await house.journal.append(mail("two"))
        await house.journal.append(mail("three"))
        await inbox.delete([(await inbox.page()).entries[1].summary.id])
        assert await subjects(inbox) == ["three", "one"]
    shutil.copyfile(tmp_path / "earlier", house.path / lost)
    async with house.inbox() as inbox:
        expected = ["three", "two", "one"] if lost == "index.db" else ["three", "one"]
        assert await subjects(inbox) == expected


@pytest.mark.parametrize("damage", ["noise", "cut", "newer", "foreign", "gone"])
async def test_an_index_that_is_no_use_is_made_anew(house: House, damage: str) -> None:
    async with house.inbox() as inbox:
        for number in range(300):
            await house.journal.append(mail(f"n{number}", "text " * 50))
        assert len(await subjects(inbox)) == 300
    match damage:
        case "noise":
            house.index.write_bytes(b"noise" * 5000)
        case "cut":
            house.index.write_bytes(house.index.read_bytes()[:5000])
        case "gone":
            house.index.unlink()
        case "newer" | "foreign":
            with sqlite3.connect(house.index) as db:
                pragma = "user_version = 99" if damage == "newer" else "application_id = 1"
                db.execute(f"pragma {pragma}")
            db.close()
    async with house.inbox() as inbox:
        assert await subjects(inbox) == [f"n{number}" for number in reversed(range(300))]
        assert len(await subjects(inbox, "n29")) == 11


async def test_damage_that_shows_while_it_is_read_is_mended(house: House) -> None:
    async with house.inbox() as inbox:
        for number in range(300):
            await house.journal.append(mail(f"n{number}", "text " * 50))
        assert len(await subjects(inbox)) == 300
    octets = house.index.read_bytes()
    house.index.write_bytes(octets[: 4096 * 8] + b"\xff" * (len(octets) - 4096 * 8))
    async with house.inbox() as inbox:
        async with asyncio.timeout(10):
            while True:
                try:
                    if len(await subjects(inbox)) == 300 and await subjects(inbox, "n7"):
                        break
                except Exception as error:  # noqa: BLE001
                    assert "damaged" in str(error) or "opened" in str(error)
                await asyncio.sleep(0)


async def test_an_index_of_another_journal_is_made_anew(house: House, tmp_path: Path) -> None:
    other = House(tmp_path / "other")
    other.path.mkdir()
    for one, count in ((house, 2), (other, 3)):
        async with one.inbox() as inbox:
            for number in range(count):
                await one.journal.append(mail(f"{count}/{number}"))
            await subjects(inbox)
    shutil.copyfile(other.index, house.index)
    async with house.inbox() as inbox:
        assert await subjects(inbox) == ["2/1", "2/0"]
    async with other.inbox():
        pass
    shutil.copyfile(house.index, other.index)
    async with other.inbox() as inbox:
        assert await subjects(inbox) == ["3/2", "3/1", "3/0"]


async def test_counts_follow_reading_and_deleting(house: House) -> None:
    async with house.inbox() as inbox:
        for number in range(4):
            await house.journal.append(mail(f"n{number}"))
        ids = [entry.summary.id for entry in (await inbox.page()).entries]
        await inbox.set_read(ids[:2], True)
        await inbox.set_read([ids[0], "no such"], True)
        assert (await inbox.counts()).unread == 2
        await inbox.delete([ids[0], ids[3]])
        counts = await inbox.counts()
        assert (counts.total, counts.unread, counts.deleted) == (2, 1, 2)
        await inbox.set_read(None, True)
        assert (await inbox.counts()).unread == 0
        await inbox.set_read(Search("n2"), False)
        assert await subjects(inbox, "is:unread") == ["n2"]


async def test_latest_is_an_id(house: House) -> None:
    async with house.inbox() as inbox:
        assert await inbox.find("latest") is None
        await house.journal.append(mail("one"))
        await house.journal.append(mail("two"))
        found = await inbox.find("latest")
        assert found
        assert found.summary.subject == "two"
        assert await inbox.find(found.summary.id) == found
        await inbox.delete(["latest"])
        assert await subjects(inbox) == ["one"]


async def test_deleting_all_leaves_nothing_behind_and_lets_new_mail_in(house: House) -> None:
    async with house.inbox() as inbox:
        await asyncio.gather(*(house.journal.append(mail(f"n{number}")) for number in range(300)))
        await inbox.delete(None)  # before they all are in the index
        assert await subjects(inbox) == []
        await house.journal.append(mail("next"))
        assert await subjects(inbox) == ["next"]
        assert (await inbox.counts()).total == 1
    async with house.inbox() as inbox:
        assert await subjects(inbox) == ["next"]


async def test_questions_wait_while_all_is_deleted_and_none_fails(house: House) -> None:
    async with house.inbox() as inbox:
        for round_ in range(20):
            await house.journal.append(mail(f"n{round_}"))
            answers = await asyncio.gather(
                inbox.delete(None), subjects(inbox), subjects(inbox, "n*"), inbox.counts(), inbox.delete(None)
            )
            assert answers[1] in ([], [f"n{round_}"])
        assert await subjects(inbox) == []


async def test_deleting_what_is_found(house: House) -> None:
    async with house.inbox() as inbox:
        for number in range(10):
            await house.journal.append(mail(f"n{number}", "even" if number % 2 == 0 else "odd"))
        await inbox.delete(Search("odd"))
        assert await subjects(inbox) == ["n8", "n6", "n4", "n2", "n0"]
        await inbox.set_read(Search("-n4 -n0"), True)
        assert await subjects(inbox, "is:unread") == ["n4", "n0"]
        await inbox.delete(Search("-is:read"))
        assert await subjects(inbox) == ["n8", "n6", "n2"]
        await inbox.delete(Search("-n6"))
        assert await subjects(inbox) == ["n6"]


async def test_what_is_found_goes_in_portions(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PORTION", 3)
    async with house.inbox() as inbox:
        for number in range(20):
            await house.journal.append(mail(f"n{number}", "even" if number % 2 == 0 else "odd"))
        for query, left in (("odd", 10), ("-n4", 1), ("e", 0)):
            await inbox.delete(Search(query))
            assert (await inbox.counts()).total == left


async def test_an_index_of_the_first_version_becomes_what_a_new_one_is(house: House) -> None:
    shutil.copyfile(ROOT / "tests" / "data" / "0.1.0" / "index.db", house.index)
    new = house.path / "new.db"
    tables = []
    for path in (house.index, new):
        store.IndexFile(path).close()
        with closing(sqlite3.connect(path)) as db:
            tables.append(db.execute("select name, sql from sqlite_schema order by name").fetchall())
    assert tables[0] == tables[1]
    reader = store.IndexReader(house.index)
    found = {query: len(reader.page(Search(query), 0, 0, 0).entries) for query in ("m", "otion", "-m", "-x")}
    reader.close()
    assert found == {"m": 5, "otion": 5, "-m": 0, "-x": 5}


async def test_tags(house: House) -> None:
    async with house.inbox() as inbox:
        raw = b"Subject: tagged\r\nX-Tags: Night, front  door,, Night\r\n\r\n"
        await house.journal.append(mail(raw=raw))
        await house.journal.append(mail("plain"))
        assert await inbox.tags() == ["front door", "Night"]
        assert await subjects(inbox, 'tag:"front door"') == ["tagged"]
        plain, tagged = (entry.summary.id for entry in (await inbox.page()).entries)
        await inbox.set_tags([plain], ["night", " new\n "])
        assert await subjects(inbox, "tag:NIGHT") == ["plain", "tagged"]
        await inbox.rename_tag("night", "Day")
        await inbox.rename_tag("new", "Day")
        assert await inbox.tags() == ["Day", "front door"]
        await inbox.remove_tag("day")
        await inbox.set_tags([tagged], [])
        assert await inbox.tags() == []
        assert await subjects(inbox, "is:tagged") == []


async def test_every_change_is_told(house: House) -> None:
    async with house.inbox() as inbox:
        changes: list[Change] = []
        stop = inbox.subscribe(changes.append)
        await house.journal.append(mail("one"))
        (entry,) = (await inbox.page()).entries
        id_ = entry.summary.id
        await inbox.set_read([id_], True)
        await inbox.set_read([id_], True)
        await inbox.set_tags([id_], ["t"])
        await inbox.delete([id_])
        await inbox.set_read(None, True)
        await inbox.delete(None)
        stop()
        await house.journal.append(mail("two"))
        await inbox.page()
        assert changes == [
            Arrived(entry),
            Updated(id_, read=True),
            Updated(id_, tags=("t",)),
            Deleted(id_),
            Pruned(),
            Truncated(),
        ]


async def test_the_index_follows_retention(house: House) -> None:
    house.engine.settings = JournalSettings(max_age=Duration(3600))
    async with house.inbox() as inbox:
        old = int(house.engine.clock.time() * 1000) - 2 * 3_600_000
        for number in range(600):
            await house.journal.append(mail(f"old{number}", at=old))
        await house.journal.append(mail("new", at=old + 2 * 3_600_000))
        assert len(await subjects(inbox)) == 601
        await until(lambda: inbox._consumer.lag == 0)
        assert await house.journal.trim() == 600
        assert await inbox.follow_retention() == 600
        assert await subjects(inbox) == ["new"]
        assert await inbox.follow_retention() == 0
    house.index.unlink()
    async with house.inbox() as inbox:
        assert await subjects(inbox) == ["new"]


async def test_a_disk_that_is_full_for_a_while(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost: what could not be written is written when it can be."""
    monkeypatch.setattr("mailbell.inbox.index.AGAIN", 0.01)
    async with house.inbox() as inbox:
        await house.journal.append(mail("one"))
        await inbox.page()
        file = inbox._file
        assert file
        connection = file._connection
        pages = connection.execute("pragma page_count").fetchone()[0]
        connection.execute(f"pragma max_page_count = {pages}")
        body = " ".join(f"word{number}" for number in range(9000))
        for number in range(3):
            await house.journal.append(mail(f"full{number}", body))
        assert await subjects(inbox) == ["one"]
        connection.execute("pragma max_page_count = 1000000")
        async with asyncio.timeout(10):
            while len(await subjects(inbox)) < 4:
                await inbox.counts()


@pytest.mark.parametrize("counted", [3, 7, 10_000])
async def test_the_pages_of_a_search_go_on_where_its_count_ends(
    house: House, monkeypatch: pytest.MonkeyPatch, counted: int
) -> None:
    monkeypatch.setattr(store, "COUNTED", counted)
    async with house.inbox() as inbox:
        for number in range(7):
            await house.journal.append(mail(f"n{number}", at=NOW + number))
        await inbox.set_read([(await inbox.page(limit=1)).entries[0].summary.id], True)
        for search in (Search("motion"), Search("motion is:unread"), Search("larger:1")):
            found = [each for each in range(6, -1, -1) if search.text != "motion is:unread" or each < 6]
            for start in (0, 1, 3, 6, 9):
                for limit in (0, 1, 2, 3, 9):
                    page = await inbox.page(search, start=start, limit=limit)
                    shown = found[start : start + limit if limit else None]
                    assert [each.summary.subject for each in page.entries] == [f"n{each}" for each in shown]
                    assert page.count == min(len(found), counted)
                    assert page.unread == min(len([each for each in found[:counted] if each < 6]), counted)
        before = await inbox.page(Search("motion"), before=NOW + 2)
        assert [each.summary.subject for each in before.entries] == ["n1", "n0"]


def test_an_index_is_exchanged_at_once_and_removed_at_leisure(tmp_path: Path) -> None:
    path, fresh = tmp_path / "index.db", tmp_path / "index.new"
    path.write_text("old")
    fresh.write_text("new")
    old = store.exchange(fresh, path)
    assert path.read_text() == "new"
    assert os.read(old, 10) == b"old"
    os.close(old)
    assert [each.name for each in tmp_path.iterdir()] == ["index.db"]


def test_an_index_that_is_gone_is_exchanged_too(tmp_path: Path) -> None:
    path, fresh = tmp_path / "index.db", tmp_path / "index.new"
    fresh.write_text("new")
    os.close(store.exchange(fresh, path))
    assert path.read_text() == "new"
