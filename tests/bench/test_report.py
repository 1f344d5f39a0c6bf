"""The tables that are made from results."""

from pathlib import Path

import pytest

from bench.check import lost
from bench.figures import FIGURES, Figure, markdown, row
from bench.fsyncs import count
from bench.report import markdown as report
from bench.results import Machine, Result, Runs, Server
from bench.smtp import check, figures
from bench.survival import counted, share

PACED = {"rate": [100.0, 100.0], "cpu": [0.001, 0.001], "memory": [2.0**20, 2.0**21]}
TIMES = {"p50": [1.0, 3.0], "p95": [2.0, 4.0], "p99": [5.0, 7.0], "most": [9.0, 9.0]}


def result(**runs: dict[str, dict[str, list[float]]]) -> Result:
    found: Runs = dict(runs)
    servers = {
        name: Server("1.0", "file, fsync", sent=10, taken=10) for each in found.values() for name in each
    }
    machine = Machine("CPU", 2, "24 GiB", "Linux", "ext4 on /var/tmp")
    return Result(
        part="smtp",
        command="python -m bench smtp",
        date="2026-11-25",
        commit="abc",
        machine=machine,
        servers=servers,
        runs=found,
    )


def measured(*rates: float) -> dict[str, list[float]]:
    return {"rate": list(rates), "cpu": [0.0005] * len(rates), "memory": [2.0**20] * len(rates)}


def test_a_scenario_is_a_table_with_ratios_to_the_first() -> None:
    text = "\n".join(report(result(new={"mailbell": measured(2000, 3000), "Postfix": measured(1000, 1000)})))
    assert "## A new connection for each mail" in text
    assert "| mailbell | file, fsync | 2,500 (2,000…3,000) | 500 µs | 1 MiB |  |" in text
    assert "| Postfix | file, fsync | 1,000 | 500 µs | 1 MiB | 2.50 × |" in text
    assert "- Postfix: 1.0; 10 mails sent, 10 taken" in text


def test_a_steady_rate_shows_latencies_and_no_ratios() -> None:
    text = "\n".join(report(result(steady={"mailbell": PACED | TIMES})))
    assert "| | at the 250 a mail is | mails/s | CPU a mail | memory | p50 | p99 |" in text
    assert "| mailbell | file, fsync | 100 | 1,000 µs | 2 MiB | 2.0 ms | 6.0 ms |" in text


def test_who_is_absent_is_named_with_the_reason() -> None:
    some = result()
    some.absent["MailHog"] = "does not build"
    assert "- not measured: MailHog, which does not build" in "\n".join(report(some))


def test_ratios_become_figures_where_the_peer_was_measured() -> None:
    found = figures(result(new={"mailbell": measured(2, 9), "Postfix": measured(1, 3)}))
    assert found == {"smtp.new.Postfix": [2.0, 3.0]}


def test_megabytes_a_second() -> None:
    assert figures(result(big={"mailbell": measured(16)})) == {"smtp.big": [160.0]}


def test_a_mail_that_was_not_taken_is_an_error() -> None:
    some = result(new={"mailbell": measured(1)})
    check(some)
    some.servers["mailbell"].taken = 9
    with pytest.raises(SystemExit, match="10 mails were sent, and it says that it has taken 9"):
        check(some)


LEAST = Figure("a", "as fast", 2.5, "×", least=True)
MOST = Figure("b", "late", 20, "ms")


def test_a_figure_without_a_result_is_not_measured_yet() -> None:
    assert row(LEAST, {}) == "| as fast | ≥ 2.5 × | | not measured yet |"


def test_a_figure_is_judged_by_its_median() -> None:
    assert row(LEAST, {"a": [1, 3, 3]}) == "| as fast | ≥ 2.5 × | 3.00 (1.00…3.00) × | reached |"
    assert row(LEAST, {"a": [2.4]}) == "| as fast | ≥ 2.5 × | 2.40 × | **not reached** |"


def test_a_figure_may_be_at_most() -> None:
    assert row(MOST, {"b": [20.0]}) == "| late | ≤ 20 ms | 20.0 ms | reached |"
    assert row(MOST, {"b": [20.1]}).endswith("**not reached** |")


def test_all_figures_are_shown_with_where_they_are_from() -> None:
    some = result()
    some.figures = {"smtp.big": [151.0]}
    lines = list(markdown([some]))
    names = [figure.name for each in FIGURES.values() for figure in each]
    assert len(names) == len(set(names))
    assert sum("not measured yet" in line for line in lines) == len(names) - 1
    assert (
        "| smtp | `python -m bench smtp` | 2026-11-25 | abc | 2 × CPU, 24 GiB, ext4 on /var/tmp, Linux |"
        in lines
    )


def test_fsyncs_are_counted_once_where_others_come_between(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text(
        "7 fsync(3) = 0\n8 fdatasync(4 <unfinished ...>\n7 fsync(3) = 0\n8 <... fdatasync resumed>) = 0\n"
    )
    assert count(trace) == 3


@pytest.mark.parametrize(("ratios", "fails"), [([0.84, 0.5, 0.9], True), ([0.86, 0.5, 2.0], False)])
def test_a_loss_of_more_than_15_percent_fails(ratios: list[float], fails: bool) -> None:
    assert lost(ratios) is fails


def test_what_is_lost_and_what_is_there_twice() -> None:
    assert counted({"a", "b", "c"}, ["a", "a", "b", "x"]) == {"acknowledged": 3, "lost": 1, "twice": 1}


def test_a_share_says_that_a_server_refuses() -> None:
    values = {"lost": [1.0], "acknowledged": [3000.0], "refuses": [1.0]}
    assert share(values) == "1 of 3,000; then it takes no mail any more"
    assert share(None) == "?"
