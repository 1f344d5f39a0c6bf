"""The log as it is written, for those who watch."""

import asyncio
import logging
import threading
from pathlib import Path

import pytest

from mailbell.clock import SystemClock
from mailbell.web import tap as module
from mailbell.web.tap import FIRST, KEEP, Tap
from tests.conftest import BOTH_LOOPS
from tests.web.conftest import Api, serving, settings
from tests.web.reading import listening

logger = logging.getLogger("mailbell.script")


async def test_the_io_monitor_and_what_is_logged(api: Api) -> None:
    async with listening(api.http, f"{api.url}/api/v1/monitor") as lines:
        await api.mail("<b>one</b>")
        logger.error("first\nsecond \x1b[31m %s", "x" * 20_000)
        logging.getLogger("elsewhere").warning("of a library")
        found: list[dict[str, str]] = []
        async with asyncio.timeout(10):
            while len(found) < 3:
                sent = await anext(lines)
                assert sent.event == "line"
                if sent.data["source"] in ("io", "script", "elsewhere"):
                    found.append(sent.data)
    by_source = {each["source"]: each for each in found}
    assert by_source["io"]["text"].startswith("IO MONITOR FORCED: smtp.mail = {")
    assert "<b>one</b>" in by_source["io"]["text"]
    assert by_source["io"]["level"] == "info"
    script = by_source["script"]
    assert script["level"] == "error"
    assert script["text"].startswith("first\nsecond \x1b[31m xxx"), "JSON: no line can be forged"
    assert len(script["text"]) == module.TEXT + 1
    assert by_source["elsewhere"]["level"] == "info"
    assert script["at"].endswith("Z")


async def test_it_begins_with_the_last_lines_and_resumes(api: Api) -> None:
    for number in range(FIRST + 50):
        logger.error("n%d", number)
    async with listening(api.http, f"{api.url}/api/v1/monitor") as lines:
        found = [await anext(lines) for _ in range(FIRST)]
    assert [each.data["text"] for each in found] == [f"n{number}" for number in range(50, FIRST + 50)]
    async with listening(api.http, f"{api.url}/api/v1/monitor", found[100].id) as lines:
        assert await anext(lines) == found[101]
    logger.error("later")
    async with listening(api.http, f"{api.url}/api/v1/monitor", found[-1].id) as lines:
        assert (await anext(lines)).data["text"] == "later"
    async with listening(api.http, f"{api.url}/api/v1/monitor?last_event_id={found[-2].id}") as lines:
        assert await anext(lines) == found[-1]


async def test_an_id_of_another_run_begins_with_the_last_lines(tmp_path: Path) -> None:
    async with serving(settings(tmp_path)) as api:
        logger.error("of the first run")
        async with listening(api.http, f"{api.url}/api/v1/monitor") as lines:
            last = (await anext(lines)).id
    async with serving(settings(tmp_path)) as api:
        logger.error("of the second run")
        for known in (last, "rubbish", "-", "x-1", f"{last}{'9' * 30}"):
            async with listening(api.http, f"{api.url}/api/v1/monitor", known) as lines:
                while (await anext(lines)).data["text"] != "of the second run":
                    pass


@BOTH_LOOPS
async def test_lines_of_every_thread_arrive_once_and_in_order() -> None:
    with Tap(SystemClock()) as tap:
        start = tap.position("")

        def talk() -> None:
            for _ in range(300):
                logger.error("x")

        threads = [threading.Thread(target=talk, daemon=True) for _ in range(4)]
        lines = tap.follow(start)
        for thread in threads:
            thread.start()
        async with asyncio.timeout(20):
            numbers = []
            async for line in lines:
                assert line is not None
                numbers.append(int(line.id.partition("-")[2]))
                if len(numbers) == 1200:
                    break
        for thread in threads:
            thread.join()
    assert numbers == list(range(numbers[0], numbers[0] + 1200))


async def test_who_misses_lines_is_dropped_and_comes_again() -> None:
    with Tap(SystemClock()) as tap:
        logger.error("first")
        lines = tap.follow(tap.position(""))
        seen = await anext(lines)
        assert seen is not None
        for number in range(KEEP + 1):
            logger.error("n%d", number)
        with pytest.raises(StopAsyncIteration):
            await anext(lines)
        again = await anext(tap.follow(tap.position(seen.id)))
        assert again is not None
        assert b'"n1"' in again.data


async def test_what_can_not_be_formatted_harms_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    with Tap(SystemClock()) as tap:
        tap.handle(logger.makeRecord("mailbell.script", logging.ERROR, "f", 1, "%d", ("no number",), None))
        tap.handle(
            logger.makeRecord("mailbell.script", logging.ERROR, "f", 1, "half \ud800 of a pair", (), None)
        )
        lines = [each.data for each in tap.after(0)]
    assert len(lines) == 1
    assert b"half ? of a pair" in lines[0]
    capsys.readouterr()


def test_outside_of_a_loop_nothing_is_kept() -> None:
    before = logging.getLogger().handlers[:]
    assert not any(isinstance(each, Tap) for each in before)
