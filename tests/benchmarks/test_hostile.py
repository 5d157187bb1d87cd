"""The soak itself; how slow anybody becomes is for a machine that does nothing else (`make hostile`)."""

from __future__ import annotations

import random

from benchmarks.hostile.honest import Felt
from benchmarks.hostile.run import _rows, soak

TIMED = ("honest p99, first byte", "honest p99, whole answer")


def felt(seconds: float, **errors: int) -> Felt:
    found = Felt(wrong=errors.pop("wrong", 0))
    for _ in range(100):
        found.first.add(seconds * random.uniform(0.9, 1.0))
        found.whole.add(seconds * random.uniform(0.9, 1.0))
    found.errors.update(errors)
    return found


def failing(alone: Felt, together: Felt, held: list[tuple[int, int]], errors: int = 0) -> set[str]:
    return {row["what"] for row in _rows(alone, together, held, errors) if not row["good"]}


def test_what_does_not_hold_is_told() -> None:
    flat = [(100 << 20, 50)] * 9
    assert failing(felt(1), felt(2), flat) == set()
    assert failing(felt(1), felt(4), flat) == set(TIMED)
    assert failing(felt(1), felt(1, wrong=1), flat) == {"wrong bytes"}
    assert failing(felt(1), felt(1, reset=1), flat) == {"honest errors"}
    assert failing(felt(1), Felt(), flat) == set(TIMED)
    growing = [(number << 25, number * 50) for number in range(1, 10)]
    assert failing(felt(1), felt(1), growing, 1) == {"memory in MiB", "descriptors", "lines of errors in the log"}


def test_hostile_users_change_no_byte_of_an_honest_answer() -> None:
    kinds = ["aborts", "half-closes", "pausers"]
    rows, answered = soak(kinds, 1.0)
    assert sorted(answered) == kinds
    found = {row["what"]: row for row in rows}
    assert found["honest errors"]["good"], found
    assert found["wrong bytes"]["good"], found
    assert found["lines of errors in the log"]["good"], found
