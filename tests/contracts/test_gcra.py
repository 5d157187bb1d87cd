"""Rates as numbered time tables: at this second, this cost, of a limit; what is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contracts.gcra import MINUTE, correct, decide, remaining

SECOND = 1_000_000
START = 1_000 * SECOND

# Each row: second, cost, wait in seconds (0: passes), remaining after it.
TABLES = {
    "1 three a minute refill one by one": (3, [(0, 1, 0, 2), (0, 1, 0, 1), (0, 1, 0, 0), (0, 1, 20, 0), (19, 1, 1, 0), (20, 1, 0, 0), (21, 1, 19, 0)]),
    "2 after a minute all of it is back": (3, [(0, 3, 0, 0), (60, 3, 0, 0), (60, 1, 20, 0)]),
    "3 a longer pause saves nothing up": (3, [(0, 1, 0, 2), (3_600, 1, 0, 2), (3_600, 2, 0, 0), (3_600, 1, 20, 0)]),
    "4 one larger than the limit passes alone and is waited for": (100, [(0, 300, 0, -200), (0, 1, 120.6, -200), (60, 100, 120, -100), (180, 100, 0, 0)]),
    "5 tokens refill evenly": (6_000, [(0, 6_000, 0, 0), (0, 50, 0.5, 0), (0.5, 50, 0, 0), (1.5, 50, 0, 50)]),
    "6 what costs nothing passes while anything is left": (10, [(0, 10, 0, 0), (0, 0, 0, 0), (0, 1, 6, 0)]),
    "7 a refusal uses nothing": (2, [(0, 2, 0, 0), (1, 2, 59, 0), (2, 2, 58, 0), (60, 2, 0, 0)]),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_the_table(name: str) -> None:
    limit, rows = TABLES[name]
    arrival = 0
    for number, (second, cost, wait, left) in enumerate(rows, 1):
        now = START + int(second * SECOND)
        decision = decide(arrival, limit, cost, now)
        arrival = decision.arrival
        assert (decision.wait / SECOND, remaining(arrival, limit, now)) == (wait, left), f"row {number}"


def test_a_correction_gives_back_or_takes_more() -> None:
    arrival = decide(0, 1_000, 900, START).arrival
    assert remaining(correct(arrival, 1_000, 900, 100, START), 1_000, START) == 900
    assert remaining(correct(arrival, 1_000, 900, 1_500, START), 1_000, START) == -500
    assert correct(0, 1_000, 900, 0, START) < START  # nothing below nothing used is kept: `decide` starts at now
    assert decide(correct(0, 1_000, 900, 0, START), 1_000, 1_000, START).wait == 0


@given(
    limit=st.integers(1, 10**6),
    steps=st.lists(st.tuples(st.integers(0, 2 * MINUTE), st.integers(0, 10**6)), min_size=1, max_size=50),
)
def test_the_wait_is_true_and_no_minute_gives_more_than_two(limit: int, steps: list[tuple[int, int]]) -> None:
    arrival, now, passed = 0, START, []
    for pause, asked in steps:
        now += pause
        cost = min(asked, limit)
        decision = decide(arrival, limit, cost, now)
        if decision.wait:
            assert decide(arrival, limit, cost, now + decision.wait).wait == 0
            assert decide(arrival, limit, cost, now + decision.wait - 1).wait == 1
        else:
            passed.append((now, cost))
        arrival = decision.arrival
    for begin, _ in passed:
        # A full bucket and what flows in meanwhile: rounded down, at most one unit for each request.
        inside = [cost for at, cost in passed if begin <= at < begin + MINUTE]
        assert sum(inside) <= 2 * limit + len(inside)
