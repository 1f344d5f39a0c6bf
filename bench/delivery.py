"""Events on their way to the sinks: a script and an MQTT broker at once, and a broker that was down.

`bench.smtp` has the time from the final dot to the script. How far a sink is, delivery.db tells.

Sustained is what both sinks get a second while somewhat more comes in, from hundreds of devices that each
send a mail every half second or so. A flood is another matter: it is taken in first, and delivered when it is
over.
"""

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from bench import results
from bench.load import KEPT, Load, send
from bench.peer import SECONDS, Unavailable, needed
from bench.peers import Broker, Mailbell
from tests.tools import ROOT

FIGURES = ("delivery.sustained", "delivery.bare", "delivery.drained", "delivery.kept")
DEVICES = Load(clients=100, keep=True, rest=1)
GROUPS = 10
"""So many times those: 2,000 mails a second, for each rests for half a second on average.

The rests are whole seconds: begun together, all would speak at once and then be silent. A group begins each
tenth of a second.
"""

WARM = 3.0
SINKS = ["broker", "clock"]
NO_INBOX = '[web]\nlisten = "off"\n'
SCRIPT = '[sinks.clock]\ntype = "script"\npath = "clock.py"\n'


class Delivering(Mailbell):
    """mailbell with a broker for a sink, on `script` a script beside it, on `inbox` the page, too."""

    name = "mailbell"
    threads = 1000

    def __init__(self, *, script: bool, inbox: bool) -> None:
        super().__init__()
        self.broker = Broker(self.folder)
        self._script = script
        self._inbox = inbox

    def config(self) -> str:
        shutil.copy(ROOT / "bench/servers/clock.py", self.folder)
        sinks = self.broker.sink() + SCRIPT * self._script
        return super().config() + sinks + NO_INBOX * (not self._inbox)

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
def serving(*, script: bool, broker: bool, inbox: bool = True) -> Iterator[Delivering]:
    peer = Delivering(script=script, inbox=inbox)
    if broker:
        peer.broker.start()
    peer.start()
    try:
        yield peer
    finally:
        peer.stop()
        peer.broker.stop()


def sustained(seconds: float, *, inbox: bool) -> float:
    """Mails a second that both sinks get while more come in."""
    mails = int(2 * DEVICES.clients * (WARM + seconds + 2))  # at last come those whose rests were long
    with serving(script=True, broker=True, inbox=inbox) as peer, ThreadPoolExecutor(GROUPS) as pool:
        sending = []
        for _ in range(GROUPS):
            sending.append(pool.submit(send, peer.port, mails, DEVICES))
            time.sleep(1 / GROUPS)
        time.sleep(WARM)
        began, before = time.perf_counter(), min(map(peer.position, SINKS))
        time.sleep(seconds)
        delivered = (min(map(peer.position, SINKS)) - before) / (time.perf_counter() - began)
        for each in sending:
            each.result()
        peer.wait(SINKS, GROUPS * mails)
    print(f"{'with' if inbox else 'without'} the inbox {delivered:,.0f} mails/s into both", flush=True)
    return delivered


def flood(mails: int) -> None:
    """As fast as they are taken in, until both sinks have everything."""
    with serving(script=True, broker=True) as peer:
        send(peer.port, 300, KEPT)
        peer.wait(SINKS, 300)
        began = time.perf_counter()
        accepted = rate(peer, mails)
        peer.wait(SINKS, 300 + mails)
        delivered = mails / (time.perf_counter() - began)
    print(
        f"a flood is taken in at {accepted:,.0f} mails/s, delivered to both at {delivered:,.0f}", flush=True
    )


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
    parser.add_argument("--rounds", type=int, help="how often each is measured; the median counts")
    options = parser.parse_args()
    mails = options.mails or (20_000 if options.full else 6_000)
    try:
        needed("smtp-source")
        needed("mosquitto")
    except Unavailable as reason:
        raise SystemExit(str(reason)) from None
    flood(mails)
    found: dict[str, list[float]] = {name: [] for name in FIGURES}
    for _ in range(options.rounds or (3 if options.full else 1)):
        for name, value in zip(FIGURES, measured(mails), strict=True):
            found[name].append(value)
    results.figures("delivery", found, publish=options.publish)


def measured(mails: int) -> list[float]:
    seconds = mails / 1000
    return [sustained(seconds, inbox=True), sustained(seconds, inbox=False), *caught_up(mails)]


if __name__ == "__main__":
    main()
