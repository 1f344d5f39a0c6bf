"""Fuzz conversion: `python -m tests.faults.fuzz_convert [MESSAGES] [SEED]`.

Messages of every shape are damaged and converted. Each must give both forms, valid against the schema,
without NUL or surrogate, within twice the time that its size may take. A finding is printed as octets and
becomes a small test in tests/event.
"""

import random
import sys
import time

from tests.event.making import damage, make
from tests.event.test_properties import check

SECONDS = 2 * 0.01
SECONDS_A_BYTE = 2 * 0.1 / 10**6


def main(messages: int = 50_000, seed: int = 0) -> int:
    """Convert so many messages; 1 when one of them broke something."""
    began = time.monotonic()
    for number in range(seed, seed + messages):
        rng = random.Random(number)
        raw = make(rng)
        for _ in range(rng.choice((1, 1, 2))):
            raw = damage(rng, raw)
        try:
            fuzz(raw, rng)
        except Exception as problem:  # noqa: BLE001  whatever it is, it is a finding
            print(f"{number}: {problem!r}\n{raw!r}")
            return 1
    print(f"{messages} messages in {time.monotonic() - began:.0f} s, seeds {seed} to {seed + messages - 1}")
    return 0


def fuzz(raw: bytes, rng: random.Random) -> None:
    """Convert one message, once more when it took too long: the machine may have been busy."""
    limit = SECONDS + SECONDS_A_BYTE * len(raw)
    rawbody, charset = rng.random() < 0.3, rng.choice(("latin-1", "utf-8", "gb18030"))
    for _ in range(3):
        start = time.process_time()
        check(raw, rawbody=rawbody, charset=charset)
        took = time.process_time() - start
        if took < limit:
            return
    raise AssertionError(f"took {took:.3f} s, {limit:.3f} are allowed")


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
