"""Into a broker: `python -m bench mqtt`.

First messages of 2 KB at QoS 1, 64 unacknowledged at once, beside paho-mqtt alone, with nobody on a loop who
waits for the answers. Then events of 2 KB from a journal through the delivery loop, three messages each; what
is wanted is 3,000 a second.
"""

import asyncio
import itertools
import resource
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from mailbell.clock import SystemClock
from mailbell.delivery.alignment import Alignment
from mailbell.delivery.consumer import Delivery
from mailbell.delivery.feed import Feed
from mailbell.journal.folder import DataFolder
from mailbell.journal.sqlite import SqliteJournal
from mailbell.mail import Envelope, Mail, Source, new_id
from mailbell.settings import JournalSettings, MqttSettings
from mailbell.sinks.broker import Message, connect, own_client_id
from mailbell.sinks.mqtt import MqttSink
from tests.tools import find, free_port

MESSAGES = 10_000
EVENTS = 6_000
AT_ONCE = 64
ROUNDS = 3
BODY = b"x" * 2048
TEXT = "Motion detected in zone 1 at 18:24:49, confidence 0.9\r\n" * 16


def main() -> None:
    """Print a table: per second and processor time each, medians of three rounds."""
    command = find("mosquitto")
    if command is None:
        print("mosquitto is not installed: sudo scripts/apt test")
        return
    with mosquitto(command) as port:
        print(f"{'median of ' + str(ROUNDS):28}{'a second':>12}{'CPU each':>12}")
        for name, work, count in (
            ("messages, mailbell", ours, MESSAGES),
            ("messages, paho-mqtt", paho, MESSAGES),
            ("events through delivery", events, EVENTS),
        ):
            rounds = [measured(work, port, count) for _ in range(ROUNDS)]
            rate, cpu = (statistics.median(values) for values in zip(*rounds, strict=True))
            print(f"{name:28}{rate:12,.0f}{cpu * 1e6:9,.0f} µs", flush=True)


@contextmanager
def mosquitto(command: str) -> Iterator[int]:
    """A broker with its own defaults; its port."""
    port = free_port()
    process = subprocess.Popen([command, "-p", str(port)], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def measured(
    work: Callable[[int, int], Coroutine[None, None, tuple[float, float]]], port: int, count: int
) -> tuple[float, float]:
    seconds, cpu = uvloop.run(work(port, count))
    return count / seconds, cpu / count


def cpu_time() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def ours(port: int, count: int) -> tuple[float, float]:
    """Publish; the seconds, and the processor seconds."""
    settings = MqttSettings(url=f"mqtt://127.0.0.1:{port}", client_id=own_client_id())
    connection = await connect(settings, Message("bench/status", b""), print)
    numbers = iter(range(count))

    async def publish() -> None:
        for _ in numbers:
            assert await connection.publish(Message("bench/event", BODY)) < 128

    began, cpu = time.perf_counter(), cpu_time()
    await asyncio.gather(*(publish() for _ in range(AT_ONCE)))
    took = time.perf_counter() - began, cpu_time() - cpu
    await connection.close()
    return took


async def paho(port: int, count: int) -> tuple[float, float]:
    """The same by paho, in its thread, with nobody waiting on a loop."""
    room, up = threading.Semaphore(AT_ONCE), threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
    client.max_inflight_messages = 0
    client.on_connect = lambda *_: up.set()
    client.on_publish = lambda *_: room.release()
    client.connect("127.0.0.1", port)
    client.loop_start()
    up.wait(10)
    began, cpu = time.perf_counter(), cpu_time()
    for _ in itertools.repeat(None, count):
        room.acquire()
        client.publish("bench/event", BODY, 1)
    for _ in range(AT_ONCE):
        room.acquire()
    took = time.perf_counter() - began, cpu_time() - cpu
    client.disconnect()
    client.loop_stop()
    return took


async def events(port: int, count: int) -> tuple[float, float]:
    """What a sink does that was away: mails from the journal, converted, published, acknowledged."""
    settings = MqttSettings(url=f"mqtt://127.0.0.1:{port}")
    with tempfile.TemporaryDirectory() as name, DataFolder(Path(name)) as folder:
        journal = await SqliteJournal.open(folder, JournalSettings())
        consumer = await journal.consumer("bench")
        for first in range(0, count, 500):
            await asyncio.gather(*(journal.append(mail(number)) for number in range(first, first + 500)))
        delivery = Delivery(
            MqttSink("bench", settings),
            consumer,
            settings,
            Feed(journal, {}),
            Alignment(["bench"], []),
            SystemClock(),
        )
        began, cpu = time.perf_counter(), cpu_time()
        running = asyncio.create_task(delivery.run())
        while consumer.lag:
            await asyncio.sleep(0.005)
        took = time.perf_counter() - began, cpu_time() - cpu
        running.cancel()
        await asyncio.wait([running])
        await delivery.drain(1)
        await journal.close()
    return took


def mail(number: int) -> Mail:
    raw = f"From: Camera <cam@lan>\r\nTo: gate@lan\r\nSubject: Motion {number}\r\n\r\n{TEXT}"
    source = Source("127.0.0.1", 1)
    return Mail(new_id(1), 1, "smtp", source, Envelope("cam@lan", ("gate@lan",)), raw.encode())


if __name__ == "__main__":
    main()
