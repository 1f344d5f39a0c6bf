"""The apprise sink: notification services by their Apprise URLs.

Theory of operation. Apprise works in threads. Each service has one of its own, so that a slow one holds up
nothing but itself, and its notifications go one by one. Which services have an event is remembered, so that
the next try is for the others alone (after a restart: for all).
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mailbell.errors import SinkUnavailable
from mailbell.event.convert import Converted
from mailbell.event.template import Template
from mailbell.remote.secrets import Mask
from mailbell.settings import AppriseSettings
from mailbell.sinks.base import Delivered, Outcome, Retry

if TYPE_CHECKING:
    from apprise import Apprise

STAND_IN = "(no text)"
"""Apprise does not send an empty text."""

Image = tuple[bytes, str | None, str]
"""Octets, name, type."""


class AppriseSink:
    """All the services; delivered when each of them has the notification."""

    sequential = False

    def __init__(self, name: str, settings: AppriseSettings) -> None:
        self.name = name
        self._settings = settings
        self._title = Template(settings.title)
        self._body = Template(settings.body)
        self._services: list[_Service] = []
        self._left: dict[str, list[_Service]] = {}

    def __repr__(self) -> str:
        return f"<AppriseSink {self.name}: {self._settings.describe()}>"

    async def start(self) -> None:
        """Load Apprise, which takes half a second, and the services; SinkUnavailable where a URL is none."""
        self._services = await asyncio.to_thread(_load, self._settings)

    async def deliver(self, item: Converted) -> Outcome:
        """Notify the services that have not been yet."""
        id_ = item.event.id
        title = self._title.render(item.event).strip()
        body = self._body.render(item.event).strip() or STAND_IN
        images = _images(item) if self._settings.images else []
        services = self._left.get(id_, self._services)
        timeout = self._settings.timeout
        words = await asyncio.gather(*(each.notify(title, body, images, timeout) for each in services))
        failed = {each: why for each, why in zip(services, words, strict=True) if why is not None}
        self._left[id_] = list(failed)
        if failed:
            return Retry("; ".join(f"{each}: {why}" for each, why in failed.items()))
        del self._left[id_]
        return Delivered()

    async def stop(self) -> None:
        """Let the threads end."""
        for each in self._services:
            each.close()
        self._services = []


def problems(settings: AppriseSettings) -> list[str]:
    """Say whether Apprise is there and which URL it does not take."""
    try:
        for each in _load(settings):
            each.close()
    except SinkUnavailable as error:
        return [str(error)]
    return []


class _Service:
    """One URL, and the thread that notifies it."""

    def __init__(self, url: str, notifier: "Apprise") -> None:
        self._scheme, _, rest = url.partition("://")
        self._notifier = notifier
        self._mask = Mask(
            [url, *(part for each in re.split(r"[/:@?&=,]", rest) for part in (each, unquote(each)))]
        )
        self._thread = ThreadPoolExecutor(1, f"apprise {self._scheme}")

    def __str__(self) -> str:
        return self._scheme

    async def notify(self, title: str, body: str, images: Sequence[Image], timeout: float) -> str | None:  # noqa: ASYNC109
        """Notify it; why that failed, or None. What takes too long may still be sent, so may come twice."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                return await loop.run_in_executor(self._thread, self._notify, title, body, images)
        except TimeoutError:
            return f"no success within {timeout:g} s"

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _notify(self, title: str, body: str, images: Sequence[Image]) -> str | None:
        from apprise import NotifyFormat
        from apprise.attachment.memory import AttachMemory

        attached = [
            AttachMemory(content=octets, name=name, mimetype=type_)  # type: ignore[no-untyped-call]
            for octets, name, type_ in images
        ]
        result = self._notifier.notify(
            body=body, title=title, body_format=NotifyFormat.TEXT, attach=attached or None
        )
        if result:
            return None
        return self._mask("; ".join(entry.message for entry in result.logs()) or "refused")


def _load(settings: AppriseSettings) -> list[_Service]:
    try:
        from apprise import Apprise, AppriseAsset
    except ImportError as error:
        raise SinkUnavailable('Apprise is not installed: pip install "mailbell[apprise]"') from error
    # Its messages, in which URLs stand, reach us with its results, and the log as the reasons of outcomes.
    logging.getLogger("apprise").propagate = False
    services = []
    for index, url in enumerate(settings.urls):
        notifier = Apprise(asset=AppriseAsset(async_mode=False, app_id="mailbell"))
        if not notifier.add(url):
            scheme = url.partition("://")[0]
            raise SinkUnavailable(f"urls[{index}]: no URL for Apprise; its page of {scheme}:// has the form")
        services.append(_Service(url, notifier))
    return services


def _images(item: Converted) -> list[Image]:
    types = ((each, each.detected_type or each.content_type) for each in item.event.attachments)
    return [
        (item.attachment(each.index), each.filename, type_)
        for each, type_ in types
        if type_.startswith("image/")
    ]
