"""The SMTP side beside its peers: new connections, kept connections, from the final dot to the script's call.

All servers are up at once and idle but for the one that is measured. The runs go round and round among them,
so that a change of the machine's mood meets all, and ratios are taken within a round. Read the ratios.
"""

import argparse
import asyncio
import shutil
import time
from contextlib import ExitStack

from bench.load import Burst, burst, paced
from bench.peers import PEERS, SECONDS, MailbellScript, Peer, Unavailable
from bench.report import MODES, Latency, Result, Server, machine, report

CLIENTS = 20
SIZE = 1024
WARM_UP = 300
MOST = {"new": 6000, "kept": 30000}
"""The most mails of one run. A connection keeps its port for a minute after its end, and there are 28,000."""

RATE = 200
RATE_SECONDS = 10


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.smtp", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="how often each is measured; the median counts")
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long each run takes")
    parser.add_argument("--publish", action="store_true", help="write table and plot to docs/benchmarks, too")
    options = parser.parse_args()
    result = Result(machine=machine(), clients=CLIENTS, size=SIZE)
    with ExitStack() as stack:
        peers = [peer for kind in PEERS if (peer := started(kind, stack, result))]
        rounds(peers, result, options.runs, options.seconds)
        for peer in peers:
            if isinstance(peer, MailbellScript):
                result.latency = latency(peer, result)
    check(result)
    report(result, publish=options.publish)


def started(kind: type[Peer], stack: ExitStack, result: Result) -> Peer | None:
    """Start a server, to be stopped and asked for its count at the end; None where it can't run."""
    peer = kind()
    try:
        peer.start()
    except Unavailable as reason:
        shutil.rmtree(peer.folder)
        result.absent[peer.name] = str(reason)
        return None
    server = result.servers[peer.name] = Server(peer.version(), peer.stores, peer.remark)

    def stop() -> None:
        server.taken = peer.stop()

    stack.callback(stop)
    return peer


def rounds(peers: list[Peer], result: Result, runs: int, seconds: float) -> None:
    """Warm each server up, which shows about how fast it is, then measure all of them in each round."""
    plan = {}
    for peer in peers:
        for mode in MODES:
            rate = run(peer, mode, WARM_UP, result).rate
            plan[peer, mode] = int(max(WARM_UP, min(MOST[mode], seconds * rate)))
    for number in range(runs):
        print(f"round {number + 1} of {runs}", flush=True)
        for (peer, mode), mails in plan.items():
            measured = run(peer, mode, mails, result)
            result.servers[peer.name].rates[mode].append(measured.rate)
            result.servers[peer.name].cpu[mode].append(measured.cpu)


def run(peer: Peer, mode: str, mails: int, result: Result) -> Burst:
    """Load a server once."""
    measured = burst(peer, mails, clients=CLIENTS, size=SIZE, keep=mode == "kept")
    result.servers[peer.name].sent += mails
    return measured


def latency(peer: MailbellScript, result: Result) -> Latency:
    """Send at a steady rate and see how long after the final dot the 250 was there, and the script called."""
    print(f"{RATE} mails/s for {RATE_SECONDS} s", flush=True)
    pace = asyncio.run(paced(peer.port, RATE, RATE_SECONDS, SIZE))
    result.servers[peer.name].sent += len(pace.dot)
    calls = peer.calls()
    deadline = time.monotonic() + SECONDS
    while not pace.dot.keys() <= calls.keys() and time.monotonic() < deadline:
        time.sleep(0.1)
        calls = peer.calls()
    return Latency(
        rate=RATE,
        reply=[(pace.reply[subject] - dot) / 1e6 for subject, dot in pace.dot.items()],
        script=[(calls[subject] - dot) / 1e6 for subject, dot in pace.dot.items()],
    )


def check(result: Result) -> None:
    """Every mail that was answered with a 250 must have been taken, as far as the server can be asked."""
    for name, server in result.servers.items():
        if server.taken not in (None, server.sent):
            raise SystemExit(
                f"{name}: {server.sent} mails were sent, and it says that it has taken {server.taken}"
            )


if __name__ == "__main__":
    main()
