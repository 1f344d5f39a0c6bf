"""The session under the fuzzer: a moment in every run, minutes in `make faults` (MAILBELL_FUZZ_SECONDS)."""

import os
import random

import pytest

from tests.faults.fuzz_session import fuzz


def test_a_moment_from_a_fixed_seed() -> None:
    played, mails = fuzz(1.5, 1)
    assert played > 100
    assert mails > 10, "the dialogues get as far as mail"


@pytest.mark.faults
def test_minutes_from_a_new_seed() -> None:
    seed = random.randrange(10**9)
    played, mails = fuzz(float(os.environ.get("MAILBELL_FUZZ_SECONDS", "120")), seed)
    print(f"seed {seed}: {played} dialogues, {mails} mails")
    assert mails > 1000
