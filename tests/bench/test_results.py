"""The harness's statistics."""

import pytest

from bench.load import Load, mail, percentiles
from bench.results import ratios, spread


def test_a_spread_is_the_median_with_the_least_and_the_most() -> None:
    assert spread([3000.0, 1000.0, 2000.0]) == "2,000 (1,000…3,000)"


def test_a_spread_of_equal_values_is_one() -> None:
    assert spread([0.5, 0.5], ".2f") == "0.50"


def test_ratios_are_taken_within_a_round() -> None:
    assert ratios([10.0, 30.0], [5.0, 10.0]) == [2.0, 3.0]


def test_ratios_need_the_same_rounds() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


def test_percentiles() -> None:
    found = percentiles([float(value) for value in range(1, 102)])
    assert found == {"p50": 51.0, "p95": 96.0, "p99": 100.0, "most": 101.0}


@pytest.mark.parametrize("octets", [1024, 30_000, 10_000_000])
def test_a_mail_is_of_its_size_and_ends_a_line(octets: int) -> None:
    for attached in (False, True):
        subject, raw = mail(7, Load(octets=octets, attached=attached))
        assert subject == "bench-7"
        assert octets * 0.9 < len(raw) < octets * 1.1 + 600
        assert raw.endswith(b"\r\n")
        assert b"\r\n.\r\n" not in raw
