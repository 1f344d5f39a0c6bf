"""The SMTP side beside its peers in every scenario, and how long after the final dot a script is called.

All servers are up at once and idle but for the one that is measured. The runs go round and round among them,
so that a change of the machine's mood meets all, and ratios are taken within a round. Read the ratios.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench import results
from bench.fsyncs import fsyncs
from bench.load import KEPT, Load, Times, measured, on_uvloop, paced, percentiles, send
from bench.peer import SECONDS, Peer, Unavailable, needed
from bench.peers import MailbellScript
from bench.report import report
from bench.results import Result, Server
from bench.scenarios import SCENARIOS, Scenario

OURS = "mailbell"
MOST = {False: 6000, True: 30000}
"""The most mails of a run, by `keep`. An ended connection keeps its port for a minute; there are 28,000."""

WARM_UP = 300
FSYNCS = 300
"""Mails of the run in which the fsyncs are counted."""

PACE = Load(rate=200)
PACE_SECONDS = 10


def main() -> None:
    parser = results.options("smtp", __doc__)
    parser.add_argument("--rounds", type=int, help="how often each is measured; the median counts")
    parser.add_argument("--seconds", type=float, help="about how long each run takes")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, help="of the scenarios these")
    given = parser.parse_args()
    try:
        needed("smtp-source")
    except Unavailable as reason:
        raise SystemExit(str(reason)) from None
    rounds, seconds = given.rounds or (7 if given.full else 3), given.seconds or (1.5 if given.full else 1.0)
    chosen = (
        SCENARIOS if given.full else {key: each._replace(peers=each.short) for key, each in SCENARIOS.items()}
    )
    chosen = {key: each for key, each in chosen.items() if key in (given.only or chosen)}
    result = results.result("smtp")
    with ExitStack() as stack:
        peers = {kind: peer for kind in kinds(chosen) if (peer := started(kind, stack, result))}
        measure(peers, chosen, result, rounds, seconds)
        count_fsyncs(list(peers.values()), result)
        for peer in peers.values():
            if type(peer) is MailbellScript:
                result.runs["script"] = {peer.name: script(peer, result)}
    result.figures = figures(result)
    report(result, publish=given.publish)
    check(result)


def kinds(scenarios: dict[str, Scenario]) -> dict[type[Peer], None]:
    """The servers that the scenarios need, each once, in their order."""
    return dict.fromkeys(kind for scenario in scenarios.values() for kind in scenario.peers)


def started(kind: type[Peer], stack: ExitStack, result: Result) -> Peer | None:
    """Start a server, to be stopped and asked for its count at the end; None where it can't run."""
    peer = kind()
    try:
        peer.start()
        server = result.servers[peer.name] = Server(peer.version(), peer.stores, peer.remark)
    except Unavailable as reason:
        peer.remove()
        result.absent[peer.name] = str(reason)
        print(f"left out: {peer.name}, which {reason}", flush=True)
        return None

    def stop() -> None:
        server.taken = peer.stop()

    stack.callback(stop)
    return peer


def measure(
    peers: dict[type[Peer], Peer],
    scenarios: dict[str, Scenario],
    result: Result,
    rounds: int,
    seconds: float,
) -> None:
    """Warm each server up in each scenario, which shows how fast it is, then measure all in each round."""
    pairs = [(key, peers[kind]) for key, each in scenarios.items() for kind in each.peers if kind in peers]
    plan = {}
    for key, peer in pairs:
        with given_up(peer, scenarios[key], result):
            plan[key, peer] = planned(peer, scenarios[key].load, seconds, result)
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", flush=True)
        for (key, peer), mails in plan.items():
            if not result.servers[peer.name].failed:
                with given_up(peer, scenarios[key], result):
                    note(result, key, peer, measured(peer, mails, scenarios[key].load))
                    result.servers[peer.name].sent += mails
    for runs in result.runs.values():
        for name in [name for name in runs if result.servers[name].failed]:
            del runs[name]


def note(result: Result, key: str, peer: Peer, found: dict[str, float]) -> None:
    runs = result.runs.setdefault(key, {}).setdefault(peer.name, {})
    for name, value in found.items():
        runs.setdefault(name, []).append(value)


@contextmanager
def given_up(peer: Peer, scenario: Scenario, result: Result) -> Iterator[None]:
    """Leave a server out from here on that does not take a mail; without ours there is nothing to report."""
    try:
        yield
    except (OSError, ExceptionGroup, subprocess.SubprocessError) as error:
        if peer.name.startswith(OURS):
            raise
        result.servers[peer.name].failed = True
        result.absent[peer.name] = f"did not take all mail ({scenario.title}): {error}"
        print(f"left out: {peer.name}, which {result.absent[peer.name]}", flush=True)


def planned(peer: Peer, load: Load, seconds: float, result: Result) -> int:
    """Return how many mails make a run of about so many seconds."""
    if load.rate:
        return int(load.rate * 2 * seconds)
    few = max(load.clients * load.burst, WARM_UP * 1024 // max(load.octets, 1024))
    start = time.perf_counter()
    send(peer.port, few, load)
    rate = few / (time.perf_counter() - start)
    result.servers[peer.name].sent += few
    return int(max(few, min(MOST[load.keep], seconds * rate)))


def count_fsyncs(peers: list[Peer], result: Result) -> None:
    """Note how many fsyncs a mail takes, in a run of its own, for looking on is slow."""
    for peer in peers:
        if peer.stores == "nowhere" or result.servers[peer.name].failed:
            continue
        if (found := fsyncs(peer, FSYNCS, KEPT)) is not None:
            result.servers[peer.name].sent += FSYNCS
            result.runs.setdefault("fsyncs", {})[peer.name] = {"fsyncs": [found / FSYNCS]}


def script(peer: MailbellScript, result: Result) -> dict[str, list[float]]:
    """Send at a steady rate; ms from the final dot to the 250, and to the call of the script."""
    mails, times = int(PACE.rate * PACE_SECONDS), Times()
    print(f"{PACE.rate:.0f} mails/s for {PACE_SECONDS} s", flush=True)
    began = time.monotonic_ns()
    on_uvloop(paced(peer.port, mails, PACE, times))
    result.servers[peer.name].sent += mails
    calls = called(peer, times, began)
    late = [(calls[subject] - dot) / 1e6 for subject, dot in times.dot.items()]
    return {"reply": times.milliseconds(), "script": late}


def called(peer: MailbellScript, times: Times, began: int) -> dict[str, int]:
    """Wait until the script was called for all of these mails, and return when; calls before do not count."""
    deadline = time.monotonic() + SECONDS
    while True:
        calls = {subject: moment for subject, moment in peer.calls().items() if moment > began}
        if times.dot.keys() <= calls.keys():
            return calls
        if time.monotonic() > deadline:
            raise SystemExit(f"{peer.name}: the script was called for {len(calls)} of {len(times.dot)} mails")
        time.sleep(0.1)


def check(result: Result) -> None:
    """Every mail that was answered with a 250 must have been taken, as far as the server can be asked."""
    for name, server in result.servers.items():
        if server.taken not in (None, server.sent) and not server.failed:
            raise SystemExit(
                f"{name}: {server.sent} mails were sent, and it says that it has taken {server.taken}"
            )


def figures(result: Result) -> dict[str, list[float]]:
    """Return the figures that this part has to show, as far as what they need was measured."""
    found = {}
    for mode, peers in {
        "new": ("smtp-sink", "aiosmtpd", "Postfix"),
        "kept": ("smtp-sink", "aiosmtpd"),
    }.items():
        runs = result.runs.get(mode, {})
        for peer in peers:
            if peer in runs and OURS in runs:
                found[f"smtp.{mode}.{peer}"] = results.ratios(runs[OURS]["rate"], runs[peer]["rate"])
    if OURS in result.runs.get("big", {}):
        octets = SCENARIOS["big"].load.octets
        found["smtp.big"] = [rate * octets / 1e6 for rate in result.runs["big"][OURS]["rate"]]
    if "script" in result.runs:
        found["delivery.script"] = [percentiles(result.runs["script"]["mailbell + script"]["script"])["p99"]]
    found |= inbox_figures(result)
    ours = [each for name, each in result.servers.items() if name.startswith(OURS)]
    if sum(each.sent for each in ours) >= 100_000:
        found["smtp.lost"] = [float(sum(abs(each.sent - (each.taken or 0)) for each in ours))]
    return found


def inbox_figures(result: Result) -> dict[str, list[float]]:
    runs = result.runs.get("inbox", {})
    full, empty = runs.get("mailbell + inbox of 1,000,000"), runs.get("mailbell + inbox")
    if full is None or empty is None:
        return {}
    return {"web.accept": [100 * ratio for ratio in results.ratios(full["rate"], empty["rate"])]}


if __name__ == "__main__":
    main()
