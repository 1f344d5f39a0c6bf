"""What a run has shown: as a Markdown table, as JSON, and as a plot."""

import os
import platform
import statistics
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tests.tools import ROOT

MODES = {"new": "a new connection for each mail", "kept": "kept connections"}
OURS = "mailbell"
GOALS = {
    "new": {"smtp-sink": 0.45, "aiosmtpd": 2.5, "Postfix": 4.0},
    "kept": {"smtp-sink": 0.25, "aiosmtpd": 2.0},
}
"""How many times as fast as a peer mailbell is to be."""


class Machine(msgspec.Struct):
    cpu: str
    cores: int
    kernel: str
    date: str


class Server(msgspec.Struct):
    """One server: mails a second and CPU seconds a mail of each run, by mode; mails sent, and taken."""

    version: str
    stores: str
    remark: str = ""
    rates: dict[str, list[float]] = msgspec.field(default_factory=lambda: {mode: [] for mode in MODES})
    cpu: dict[str, list[float]] = msgspec.field(default_factory=lambda: {mode: [] for mode in MODES})
    sent: int = 0
    taken: int | None = None


class Latency(msgspec.Struct):
    """Milliseconds from the final dot of each mail to its 250, and to the call of the script."""

    rate: float
    reply: list[float]
    script: list[float]


class Result(msgspec.Struct):
    machine: Machine
    clients: int
    size: int
    servers: dict[str, Server] = {}
    absent: dict[str, str] = {}
    latency: Latency | None = None


def machine() -> Machine:
    """Return what this is measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return Machine(
        cpu=models[0] if models else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        kernel=f"{platform.system()} {platform.release()}",
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def report(result: Result, *, publish: bool) -> None:
    """Print the tables; write them, numbers and plot to bench/results, if asked to docs/benchmarks, too."""
    text = "\n".join(markdown(result))
    print(f"\n{text}")
    for folder in [ROOT / "bench/results", *([ROOT / "docs/benchmarks"] if publish else [])]:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "smtp.md").write_text(f"{text}\n\n![mails a second](smtp.svg)\n")
        (folder / "smtp.json").write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
        plot(result, folder / "smtp.svg")
        print(f"written: {folder.relative_to(ROOT)}/smtp.md, smtp.json, smtp.svg")


def markdown(result: Result) -> Iterator[str]:
    """Yield the lines of the report."""
    it = result.machine
    yield "# SMTP: mails a second beside other servers\n"
    yield f"{result.clients} clients, messages of {result.size} octets, smtp-source as the generator, on"
    yield f"{it.cores} × {it.cpu}, {it.kernel}, {it.date}. `make bench` repeats it. Each figure is the"
    yield "median of its runs, with the least and the most; each ratio the median of those within a round."
    for mode in MODES:
        yield from rate_table(result, mode)
    yield from goal_table(result)
    yield from latency_table(result)
    for name, server in result.servers.items():
        yield f"\n{name}: {server.version}{'; ' * bool(server.remark)}{server.remark}"
    for name, reason in result.absent.items():
        yield f"\nNot measured: {name}, which {reason}"


def rate_table(result: Result, mode: str) -> Iterator[str]:
    yield f"\n| {MODES[mode]} | at the 250 a mail is | mails/s | CPU a mail | {OURS} is |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for name, server in result.servers.items():
        rate, cpu = spread(server.rates[mode]), statistics.median(server.cpu[mode]) * 1e6
        yield f"| {name} | {server.stores} | {rate} | {cpu:,.0f} µs | {times(result, name, mode)} |"


def goal_table(result: Result) -> Iterator[str]:
    if OURS not in result.servers:
        return
    yield f"\n| {OURS} is to be | goal | measured | |"
    yield "| --- | ---: | ---: | --- |"
    for mode, goals in GOALS.items():
        for name, goal in goals.items():
            if name in result.servers:
                reached = ratio(result, name, mode)
                verdict = "reached" if reached >= goal else "**not reached**"
                yield f"| as fast as {name}, {MODES[mode]} | {goal} × | {reached:.2f} × | {verdict} |"


def latency_table(result: Result) -> Iterator[str]:
    if result.latency is None:
        return
    yield f"\n| {OURS}, {result.latency.rate:.0f} mails/s: from the final dot to | p50 | p99 | most |"
    yield "| --- | ---: | ---: | ---: |"
    for what, values in (("the 250", result.latency.reply), ("the script's call", result.latency.script)):
        percent = statistics.quantiles(values, n=100)
        yield f"| {what} | {percent[49]:.1f} ms | {percent[98]:.1f} ms | {max(values):.1f} ms |"


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}…{max(values):,.0f})"


def times(result: Result, name: str, mode: str) -> str:
    """Return how many times as fast as this server we are, as text."""
    return "" if name == OURS or OURS not in result.servers else f"{ratio(result, name, mode):.2f} ×"


def ratio(result: Result, name: str, mode: str) -> float:
    ours, theirs = result.servers[OURS].rates[mode], result.servers[name].rates[mode]
    return statistics.median(our / their for our, their in zip(ours, theirs, strict=True))


def plot(result: Result, path: Path) -> None:
    """Draw the rates, a bar a server, with the least and the most of the runs."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "mailbell"  # the same numbers give the same file
    from matplotlib import pyplot as plt

    names = list(result.servers)[::-1]
    figure, axes = plt.subplots(1, len(MODES), figsize=(10, 0.5 * len(names) + 1.2), sharey=True)
    for axis, (mode, title) in zip(axes, MODES.items(), strict=True):
        runs = [result.servers[name].rates[mode] for name in names]
        middles = [statistics.median(each) for each in runs]
        reach = [[m - min(each) for m, each in zip(middles, runs, strict=True)]]
        reach += [[max(each) - m for m, each in zip(middles, runs, strict=True)]]
        colours = ["#d97706" if name.startswith(OURS) else "#94a3b8" for name in names]
        bars = axis.barh(names, middles, xerr=reach, color=colours, ecolor="#334155", capsize=3)
        axis.bar_label(bars, [f"{middle:,.0f}" for middle in middles], padding=6, fontsize=8)
        axis.set_title(f"mails/s, {title}", fontsize=10)
        axis.margins(x=0.2)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
