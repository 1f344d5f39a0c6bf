"""MQTT 3.1.1: what paho-mqtt does in its own way. The rest is tested for both versions in test_mqtt.py."""

import asyncio
import threading
from typing import Any

import pytest
from paho.mqtt.client import Client

from mailbell.settings import MqttSettings
from mailbell.sinks.broker import connect
from tests.sinks.test_mqtt5 import WILL, listening, url


async def test_nothing_stays_open_when_paho_connects_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connecting is done in a thread, which goes on when nobody waits for it any more."""
    begun, go_on, really_connect = asyncio.Event(), threading.Event(), Client.connect
    loop = asyncio.get_running_loop()

    def connect_late(*arguments: Any) -> Any:
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(10)
        return really_connect(*arguments)

    monkeypatch.setattr(Client, "connect", connect_late)
    async with listening() as (server, lines), asyncio.timeout(10):
        settings = MqttSettings(url=url(server), client_id="x", version="3.1.1")
        connecting = asyncio.create_task(connect(settings, WILL, lambda _: None))
        await begun.wait()
        connecting.cancel()
        await asyncio.wait([connecting])
        go_on.set()
        line = await lines.get()
        try:
            assert (await asyncio.wait_for(line[0].read(), 5))[:1] == b"\x10", "CONNECT, and then the end"
        finally:
            line[1].close()
