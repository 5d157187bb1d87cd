"""The short form of the soak: real traffic for some seconds, and its verdicts on series that are made up."""

from __future__ import annotations

import random

from benchmarks.soak.books import Balance
from benchmarks.soak.run import soak
from benchmarks.soak.slope import Limit, slope, trend
from benchmarks.soak.traffic import BUSY

KINDS = {"typing", "chat", "count", "list", "abort"}


def series(rise: float, *, noise: float = 0.0, wild: float = 0.0, count: int = 600) -> list[tuple[float, float]]:
    """A value each half second, from 100 to 100 + rise; some are off by ``wild``."""
    chance = random.Random(1)
    return [
        (number / 2, 100 + rise * number / count + chance.uniform(-noise, noise) + wild * (chance.random() < 0.1))
        for number in range(count)
    ]


def test_a_slope_is_that_of_the_line_whatever_some_values_are() -> None:
    assert slope([(0, 1), (1, 3), (2, 5)]) == 2
    assert slope([(0, 1)]) == 0
    assert abs(slope(series(300, noise=5, wild=10_000)[::5]) - 1) < 0.1


def test_what_rises_fails_and_what_only_began_to_does_not() -> None:
    limit = Limit(0.05, 2)
    assert trend(series(0, noise=20), limit).good
    assert trend(series(0, noise=2, wild=500), limit).good
    assert not trend(series(20, noise=5), limit).good
    assert trend(series(-50), limit).good
    filling = [(at, min(value, 200.0)) for at, value in series(300)]
    assert trend(filling, limit).good
    found = trend(series(30), limit)
    assert abs(found.rise - 20) < 1  # of the last two thirds


def test_a_balance_is_good_only_if_nothing_is_lost_doubled_wrong_or_held() -> None:
    assert Balance(whole=3, records=4, partial=1).good
    assert not any(Balance(**{name: 1}).good for name in ("lost", "doubled", "wrong", "held"))


def test_mixed_traffic_fails_nowhere_and_each_answer_is_charged_once() -> None:
    found = soak(3.0, users=4)
    print(found)
    assert set(found.tallies) == KINDS
    # On a busy machine the store may answer too late.
    assert {name for errors in found.errors.values() for name in errors} <= {BUSY}
    assert found.balance.good
    assert found.balance.whole > 3
    assert found.balance.records >= found.balance.whole
    assert (found.error_lines, found.exit_code) == (0, 0)
    assert {name for name, points in found.series.items() if not any(value for _, value in points)} <= {"holds"}
