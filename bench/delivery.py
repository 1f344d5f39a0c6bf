"""Events on their way to the sinks: a script and an MQTT broker at once, and a broker that was down.

`bench.smtp` has the time from the final dot to the script. How far a sink is, delivery.db tells.
"""

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Iterator

from bench import results
from bench.load import KEPT, send
from bench.peer import SECONDS, Unavailable, needed
from bench.peers import Broker, Mailbell
from tests.tools import ROOT

FIGURES = ("delivery.sustained", "delivery.drained", "delivery.kept")
SCRIPT = '[sinks.clock]\ntype = "script"\npath = "clock.py"\n'


class Delivering(Mailbell):
    """mailbell with a broker for a sink, and on `script` a script beside it."""

    name = "mailbell"

    def __init__(self, *, script: bool) -> None:
        super().__init__()
        self.broker = Broker(self.folder)
        self._script = script

    def config(self) -> str:
        shutil.copy(ROOT / "bench/servers/clock.py", self.folder)
        return super().config() + self.broker.sink() + SCRIPT * self._script

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
        send(peer.port, 300, KEPT)
        peer.wait(["broker", "clock"], 300)
        began = time.perf_counter()
        accepted = rate(peer, mails)
        peer.wait(["broker", "clock"], 300 + mails)
        delivered = mails / (time.perf_counter() - began)
    print(f"taken in at {accepted:,.0f} mails/s, delivered to both at {delivered:,.0f}", flush=True)
    return delivered


def caught_up(mails: int) -> tuple[float, float]:
    """Events a second after the broker has come back, and the percentage of its rate that SMTP keeps."""
    with serving(script=False, broker=False) as peer:
        send(peer.port, mails, KEPT)
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
    send(peer.port, mails, KEPT)
    return mails / (time.perf_counter() - began)


def main() -> None:
    parser = results.options("delivery", __doc__)
    parser.add_argument("--mails", type=int, help="how many make the load, and the backlog")
    options = parser.parse_args()
    mails = options.mails or (20_000 if options.full else 6_000)
    try:
        needed("smtp-source")
        needed("mosquitto")
    except Unavailable as reason:
        raise SystemExit(str(reason)) from None
    found = dict(zip(FIGURES, [sustained(mails), *caught_up(mails)], strict=True))
    results.figures("delivery", {name: [value] for name, value in found.items()}, publish=options.publish)


if __name__ == "__main__":
    main()
