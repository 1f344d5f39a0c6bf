"""All figures that mailbell is to reach, in one table: reached, not reached, or not measured yet.

The parts of the benchmarks measure them and keep them with their results; here they are put beside the goals.
"""

import operator
import statistics
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from bench import results
from bench.results import Result, spread
from tests.tools import ROOT


class Figure(NamedTuple):
    """A goal: what is measured is to be at least that, on `least`, or at most that."""

    name: str
    what: str
    goal: float
    unit: str
    least: bool = False

    def reached(self, values: Iterable[float]) -> bool:
        compare = operator.ge if self.least else operator.le
        return bool(compare(statistics.median(values), self.goal))

    @property
    def bound(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.goal:,g} {self.unit}"


MILLION = "with 1,000,000 mails, "
THREE = "3 JetStream servers, 2 nodes: "
FIGURES = {
    "SMTP": [
        Figure("smtp.new.smtp-sink", "new connections, as fast as smtp-sink", 0.45, "×", least=True),
        Figure("smtp.new.aiosmtpd", "new connections, as fast as aiosmtpd, discarding", 2.5, "×", least=True),
        Figure("smtp.new.Postfix", "new connections, as fast as Postfix", 4, "×", least=True),
        Figure("smtp.kept.smtp-sink", "kept connections, as fast as smtp-sink", 0.25, "×", least=True),
        Figure("smtp.kept.aiosmtpd", "kept connections, as fast as aiosmtpd, discarding", 2, "×", least=True),
        Figure("smtp.big", "mails of 10 MB", 150, "MB/s", least=True),
        Figure("smtp.idle", "an idle connection", 10, "KB"),
        Figure("smtp.held", "connections held at once", 10_000, "connections", least=True),
        Figure("smtp.lost", "of 100,000 mails or more, lost or doubled", 0, "mails"),
    ],
    "Events": [
        Figure("event.1 KB text", "conversion, 1 KB of text", 150, "µs"),
        Figure("event.11 KB alternative", "conversion, 11 KB alternative", 300, "µs"),
        Figure("event.300 KB JPEG", "conversion, 300 KB JPEG", 2000, "µs"),
        Figure("event.25 MB attachment", "conversion, 25 MB attachment", 166_666, "µs"),
    ],
    "Delivery": [
        Figure("delivery.script", "from the final dot to the script, 200 mails/s, p99", 20, "ms"),
        Figure("delivery.sustained", "into a script and a broker at once", 1500, "mails/s", least=True),
        Figure("delivery.bare", "… without the inbox", 1500, "mails/s", least=True),
        Figure("delivery.drained", "a broker that was down catches up", 2000, "events/s", least=True),
        Figure("delivery.kept", "SMTP's rate meanwhile", 80, "%", least=True),
        Figure("delivery.killed", "kill -9, 100 times under load: lost or parked", 0, "mails"),
    ],
    "Page": [
        Figure("web.page.1000000", f"{MILLION}the first page of the list, p95", 20, "ms"),
        Figure("web.search.1000000", f"{MILLION}the slowest of 16 searches, p95", 100, "ms"),
        Figure("web.delete.1000000", f"{MILLION}deleting all", 200, "ms"),
        Figure("web.accept", f"{MILLION}SMTP's rate, of that with an empty inbox", 90, "%", least=True),
        Figure("web.arrival", "a new mail is told to the page, p99", 200, "ms"),
    ],
    "Cluster": [
        Figure("cluster.failover", f"{THREE}kill -9 of the active, over the lease", 2, "s"),
        Figure("cluster.lost", f"{THREE}50 failovers under load: lost, or delivered twice", 0, "mails"),
        Figure("cluster.restart", f"{THREE}rolling restart of the servers: lost", 0, "mails"),
        Figure("cluster.nodes", f"{THREE}two nodes' rate, of one's", 1.6, "×", least=True),
    ],
}


def main() -> None:
    given = results.options("figures", __doc__).parse_args()
    for folder in results.folders(publish=given.publish):
        text = "\n".join(markdown(results.load(folder)))
        (folder / "figures.md").write_text(f"{text}\n")
    print(text)
    print(f"written: {(folder / 'figures.md').relative_to(ROOT)}")


def markdown(found: list[Result]) -> Iterator[str]:
    """Yield the lines of the page."""
    values = {name: each for result in found for name, each in result.figures.items()}
    yield "# The figures to reach\n"
    yield "Each is the median of its rounds, with the least and the most. `make bench-full` measures all."
    yield "What limits them, and what was tried: [where the time goes](profile.md)."
    for title, figures in FIGURES.items():
        yield f"\n## {title}\n\n| | goal | measured | |\n| --- | ---: | ---: | --- |"
        yield from (row(figure, values) for figure in figures)
    yield "\n## Where the figures are from\n\n| part | command | when | commit | machine |"
    yield "| --- | --- | --- | --- | --- |"
    for result in found:
        yield f"| {result.part} | `{result.command}` | {result.date} | {result.commit} | {result.machine} |"


def row(figure: Figure, values: Mapping[str, list[float]]) -> str:
    if not values.get(figure.name):
        return f"| {figure.what} | {figure.bound} | | not measured yet |"
    measured = values[figure.name]
    verdict = "reached" if figure.reached(measured) else "**not reached**"
    shown = f"{spread(measured, form(figure.goal))} {figure.unit}"
    return f"| {figure.what} | {figure.bound} | {shown} | {verdict} |"


def form(goal: float) -> str:
    """Return with how many places a figure beside this goal is shown."""
    return ",.2f" if 0 < goal < 10 else ",.1f" if 0 < goal < 100 else ",.0f"


if __name__ == "__main__":
    main()
