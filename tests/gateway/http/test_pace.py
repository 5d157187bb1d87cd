"""The rate of what nobody pays for, and that nothing of it is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import pace
from gateway.http.pace import MINUTE, Pace


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_minutes_worth_at_once_then_evenly():
    clock = Clock()
    rate = Pace(60, clock=clock)
    for _ in range(60):
        assert rate.wait("a") == 0.0
        rate.add("a")
    assert rate.wait("a") == pytest.approx(1.0)
    assert rate.wait("b") == 0.0
    clock.now += 1.0
    assert rate.wait("a") == 0.0
    rate.add("a")
    assert rate.wait("a") == pytest.approx(1.0)


def test_what_comes_all_the_same_waits_a_minute_at_most():
    rate = Pace(60, clock=Clock())
    for _ in range(1_000):
        rate.add("a")
    assert rate.wait("a") <= MINUTE + 1.0


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 90)), max_size=60))
def test_nothing_is_kept_for_longer_than_it_counts(steps):
    clock = Clock()
    rate = Pace(3, clock=clock)
    last = {}
    for name, seconds in steps:
        clock.now += seconds
        rate.add(name)
        last[name] = clock.now
        assert len(rate) <= sum(clock.now - at <= 2 * MINUTE for at in last.values())
    clock.now += 2 * MINUTE
    rate.tidy()
    assert len(rate) == 0


def test_the_map_is_bounded(monkeypatch):
    monkeypatch.setattr(pace, "MOST_NAMES", 3)
    clock = Clock()
    rate = Pace(1, clock=clock)
    for name in "abcdef":
        rate.add(name)
    assert len(rate) == 3
    assert rate.wait("a") > 0 == rate.wait("f")
    clock.now += MINUTE
    rate.add("f")
    assert len(rate) == 1
