"""A share of the fuzzing in every run of the tests, tens of thousands of messages in `make faults`."""

import pytest

from tests.faults.fuzz_convert import main


def test_a_share_of_fuzzing() -> None:
    assert main(1000) == 0


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(100_000, 200_000, 10_000))
def test_fuzzing(seed: int) -> None:
    assert main(10_000, seed) == 0
