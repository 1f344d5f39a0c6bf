"""What the SMTP part has shown: as a Markdown table for each scenario, as JSON, and as plots."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench import results
from bench.load import percentiles
from bench.results import Result, ratios, spread
from bench.scenarios import SCENARIOS
from tests.tools import ROOT

OURS = "mailbell"
Values = Mapping[str, Sequence[float]]


def report(result: Result, *, publish: bool) -> None:
    """Print the tables; keep them, numbers and plots."""
    text = "\n".join(markdown(result))
    print(f"\n{text}")
    for folder in results.folders(publish=publish):
        plots = [name for name, draw in PLOTS.items() if draw(result, folder / f"{name}.svg")]
        pictures = "".join(f"\n![{PICTURES[name]}]({name}.svg)\n" for name in plots)
        (folder / "smtp.md").write_text(f"{text}\n{pictures}")
        print(f"written: {folder.relative_to(ROOT)}/smtp.md and plots")
    results.save(result, publish=publish)


def markdown(result: Result) -> Iterator[str]:
    """Yield the lines of the report."""
    yield "# SMTP beside other servers\n"
    yield f"On {result.machine}; {result.date}, commit {result.commit}. `{result.command}` repeats it."
    yield "Unless a title says otherwise: 20 clients, mails of 1 KB. Each figure is the median of the rounds,"
    yield "with the least and the most; each ratio the median of those within a round, where all meet"
    yield "the same machine. CPU and memory are those of all processes of the server, memory at the peak."
    for key, runs in result.runs.items():
        if key in SCENARIOS:
            yield from scenario_table(result, key, runs)
    yield from fsync_table(result)
    yield from script_table(result)
    yield "\nWhat was measured:\n"
    for name, server in result.servers.items():
        yield f"- {name}: {server.version}{'; ' * bool(server.remark)}{server.remark}{counted(server)}"
    for name, reason in result.absent.items():
        yield f"- not measured: {name}, which {reason}"


def counted(server: results.Server) -> str:
    if server.taken is None:
        return f"; {server.sent:,} mails sent, which it does not count"
    return f"; {server.sent:,} mails sent, {server.taken:,} taken"


def scenario_table(result: Result, key: str, runs: Mapping[str, Values]) -> Iterator[str]:
    """Yield the table of one scenario; the latencies only where our own clients took them."""
    timed, first = any("p99" in each for each in runs.values()), next(iter(runs))
    compared = not SCENARIOS[key].load.rate
    yield f"\n## {SCENARIOS[key].title[:1].upper()}{SCENARIOS[key].title[1:]}\n"
    columns = ["mails/s", "CPU a mail", "memory", *["p50", "p99"] * timed, *[f"{first} is"] * compared]
    yield f"| | at the 250 a mail is | {' | '.join(columns)} |"
    yield f"| --- | --- |{' ---: |' * len(columns)}"
    for name, each in runs.items():
        cells = [name, result.servers[name].stores, spread(each["rate"])]
        cells += [f"{statistics.median(each['cpu']) * 1e6:,.0f} µs", megabytes(each["memory"])]
        cells += [f"{statistics.median(each[part]):.1f} ms" for part in ("p50", "p99")] if timed else []
        cells += [times(runs[first], each)] if compared else []
        yield f"| {' | '.join(cells)} |"


def times(ours: Values, theirs: Values) -> str:
    """Return how many times as fast ours is; nothing for ours itself."""
    return "" if ours is theirs else f"{statistics.median(ratios(ours['rate'], theirs['rate'])):.2f} ×"


def fsync_table(result: Result) -> Iterator[str]:
    if "fsyncs" not in result.runs:
        return
    yield "\n## fsyncs\n\nWhile strace looks on, which slows a server down: 20 kept connections.\n"
    yield "| | at the 250 a mail is | fsyncs a mail |\n| --- | --- | ---: |"
    for name, each in result.runs["fsyncs"].items():
        yield f"| {name} | {result.servers[name].stores} | {statistics.median(each['fsyncs']):.2f} |"


def script_table(result: Result) -> Iterator[str]:
    for name, each in result.runs.get("script", {}).items():
        yield f"\n## {name}, 200 mails/s\n\n| from the final dot to | p50 | p95 | p99 | most |"
        yield "| --- | ---: | ---: | ---: | ---: |"
        for what, values in (("the 250", each["reply"]), ("the script's call", each["script"])):
            yield f"| {what} | {' | '.join(f'{value:.1f} ms' for value in percentiles(values).values())} |"


def megabytes(values: Sequence[float]) -> str:
    return f"{max(values) / 2**20:,.0f} MiB"


def plot_rates(result: Result, path: Path) -> bool:
    """Draw the rates of new and kept connections, a bar a server, with least and most of the rounds."""
    titles = {key: f"mails/s, {SCENARIOS[key].title}" for key in ("new", "kept")}
    return bars(result, path, "rate", titles, lambda value: value)


def plot_cpu(result: Result, path: Path) -> bool:
    """Draw what a mail costs in CPU."""
    titles = {key: f"µs of CPU a mail, {SCENARIOS[key].title}" for key in ("new", "kept")}
    return bars(result, path, "cpu", titles, lambda value: value * 1e6)


def plot_latency(result: Result, path: Path) -> bool:
    """Draw what 99 of 100 mails wait for their 250 at most."""
    titles = {"steady": f"ms to the 250, p99, {SCENARIOS['steady'].title}"}
    return bars(result, path, "p99", titles, lambda value: value)


PLOTS = {"smtp": plot_rates, "cpu": plot_cpu, "latency": plot_latency}
PICTURES = {"smtp": "mails a second", "cpu": "CPU a mail", "latency": "how long the 250 takes"}


def bars(
    result: Result, path: Path, what: str, titles: dict[str, str], scale: Callable[[float], float]
) -> bool:
    """Draw a measure of some scenarios side by side. Returns whether there was anything to draw."""
    titles = {key: title for key, title in titles.items() if key in result.runs}
    if not titles:
        return False
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "mailbell"  # the same numbers give the same file
    from matplotlib import pyplot as plt

    names = list(result.runs[next(iter(titles))])[::-1]
    figure, grid = plt.subplots(
        1, len(titles), figsize=(5.5 * len(titles), 0.4 * len(names) + 1.2), sharey=True, squeeze=False
    )
    for axis, (key, title) in zip(grid[0], titles.items(), strict=True):
        runs = [[scale(value) for value in result.runs[key][name][what]] for name in names]
        middles = [statistics.median(each) for each in runs]
        reach = [[m - min(each) for m, each in zip(middles, runs, strict=True)]]
        reach += [[max(each) - m for m, each in zip(middles, runs, strict=True)]]
        colours = ["#d97706" if name.startswith(OURS) else "#94a3b8" for name in names]
        drawn = axis.barh(names, middles, xerr=reach, color=colours, ecolor="#334155", capsize=3)
        axis.bar_label(drawn, [f"{middle:,.0f}" for middle in middles], padding=6, fontsize=8)
        axis.set_title(title, fontsize=10)
        axis.margins(x=0.2)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return True
