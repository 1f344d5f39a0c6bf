"""Events on their way to the sinks: a script and an MQTT broker at once, and a broker that was down.

`bench.smtp` has the time from the final dot to the script. How far a sink is, delivery.db tells.
"""

import argparse
import contextlib
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.load import burst
from bench.peers import SECONDS, Mailbell, Unavailable, end, needed
from bench.report import machine
from tests.tools import ROOT, free_port

CLIENTS = 20
SIZE = 1024
GOALS = {
    "mails/s, sustained into a script and a broker at once": 1500.0,
    "events/s, a broker that was down catches up": 2000.0,
    "% of its rate is what SMTP keeps meanwhile": 80.0,
}
SINKS = """
[sinks.broker]
type = "mqtt"
url = "mqtt://127.0.0.1:{port}"
"""
SCRIPT = '[sinks.clock]\ntype = "script"\npath = "clock.py"\n'


class Broker:
    """A mosquitto that comes and goes."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")

    def start(self) -> None:
        command = [needed("mosquitto"), "-c", str(self._config)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        if self._process is not None:
            end(self._process)


class Delivering(Mailbell):
    """mailbell with a broker for a sink, and on `script` a script beside it."""

    name = "mailbell"

    def __init__(self, *, script: bool) -> None:
        super().__init__()
        self.broker = Broker(self.folder)
        self._script = script

    def config(self) -> str:
        shutil.copy(ROOT / "bench/servers/clock.py", self.folder)
        return super().config() + SINKS.format(port=self.broker.port) + SCRIPT * self._script

    def position(self, sink: str) -> int:
        """Up to which event the sink is done."""
        file = f"file:{self.folder}/data/delivery.db?mode=ro"
        with contextlib.closing(sqlite3.connect(file, uri=True, timeout=SECONDS)) as delivery:
            found = delivery.execute("select floor from consumer where name = ?", (sink,)).fetchone()
        return int(found[0]) if found else 0

    def wait(self, sinks: list[str], position: int) -> None:
        """Wait until the sinks have come so far."""
        deadline = time.monotonic() + 4 * SECONDS
        while min(map(self.position, sinks)) < position:
            if time.monotonic() > deadline:
                raise SystemExit(f"not delivered: {[self.position(each) for each in sinks]} of {position}")
            time.sleep(0.05)


@contextlib.contextmanager
def serving(*, script: bool, broker: bool) -> Iterator[Delivering]:
    peer = Delivering(script=script)
    if broker:
        peer.broker.start()
    peer.start()
    try:
        yield peer
    finally:
        peer.stop()
        peer.broker.stop()


def sustained(mails: int) -> float:
    """From the first octet until both sinks have everything."""
    with serving(script=True, broker=True) as peer:
        burst(peer, 300, clients=CLIENTS, size=SIZE, keep=True)
        peer.wait(["broker", "clock"], 300)
        began = time.perf_counter()
        accepted = rate(peer, mails)
        peer.wait(["broker", "clock"], 300 + mails)
        delivered = mails / (time.perf_counter() - began)
    print(f"taken in at {accepted:,.0f} mails/s, delivered to both at {delivered:,.0f}", flush=True)
    return delivered


def burst_command(peer: Delivering, mails: int) -> list[str]:
    options = {"-s": CLIENTS, "-m": mails, "-l": SIZE, "-M": "localhost", "-f": "a@lan", "-t": "gate@lan"}
    words = [str(word) for pair in options.items() for word in pair]
    return [needed("smtp-source"), *words, "-d", f"127.0.0.1:{peer.port}"]


def caught_up(mails: int) -> tuple[float, float]:
    """Events a second after the broker has come back, and the percentage of its rate that SMTP keeps."""
    with serving(script=False, broker=False) as peer:
        burst(peer, mails, clients=CLIENTS, size=SIZE, keep=True)
        alone = [rate(peer, mails // 4) for _ in range(3)][-1]
        taken = mails + 3 * (mails // 4)
        peer.broker.start()
        while peer.position("broker") == 0:
            time.sleep(0.05)
        began, before = time.perf_counter(), peer.position("broker")
        beside = rate(peer, mails // 4)
        drained = (peer.position("broker") - before) / (time.perf_counter() - began)
        peer.wait(["broker"], taken + mails // 4)
        whole = (taken + mails // 4 - before) / (time.perf_counter() - began)
    print(f"SMTP alone {alone:,.0f} mails/s, beside the backlog {beside:,.0f};", end=" ")
    print(f"drained at {drained:,.0f} events/s meanwhile, {whole:,.0f} in all", flush=True)
    return whole, 100 * beside / alone


def rate(peer: Delivering, mails: int) -> float:
    began = time.perf_counter()
    subprocess.run(burst_command(peer, mails), check=True, stdin=subprocess.DEVNULL)
    return mails / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.delivery", description=__doc__)
    parser.add_argument("--mails", type=int, default=20_000, help="how many make the load, and the backlog")
    options = parser.parse_args()
    try:
        needed("smtp-source")
        needed("mosquitto")
    except Unavailable as reason:
        raise SystemExit(str(reason)) from None
    figures = [sustained(options.mails), *caught_up(options.mails)]
    it = machine()
    print(f"\nMessages of {SIZE} octets, {CLIENTS} clients, {it.cores} × {it.cpu}, {it.date}\n")
    print("| | goal | measured | |\n| --- | ---: | ---: | --- |")
    for (what, goal), figure in zip(GOALS.items(), figures, strict=True):
        verdict = "reached" if figure >= goal else "**not reached**"
        print(f"| {what} | {goal:,.0f} | {figure:,.0f} | {verdict} |")


if __name__ == "__main__":
    main()
