"""Further attempts are a share of the requests: transcripts with a clock by hand, and any sequence of events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.retry_budget import SECONDS, RetryBudget


def retries(budget, now, most=1_000):
    """How many are granted at a moment."""
    for count in range(most):
        if not budget.left(now):
            return count
        budget.count(now, first=False)
    return most


def test_a_quiet_worker_may_make_the_burst_of_its_seconds():
    budget = RetryBudget(20, 3)
    assert retries(budget, 100.0) == 3 * SECONDS
    assert retries(budget, 100.0 + SECONDS - 1) == 0
    assert retries(budget, 100.0 + SECONDS) == 3 * SECONDS


def test_a_busy_worker_may_make_a_share_of_its_requests():
    budget = RetryBudget(20, 0)
    for _ in range(100):
        budget.count(5.0, first=True)
    assert retries(budget, 5.5) == 20
    budget.count(6.0, first=True)
    assert retries(budget, 6.0) == 0
    assert retries(budget, 5.0 + SECONDS) == 0  # only the request of second 6 counts


def test_nothing_is_tried_twice_where_that_is_switched_off():
    budget = RetryBudget(0, 0)
    budget.count(1.0, first=True)
    assert not budget.left(1.0)


def test_a_clock_that_jumps_frees_everything_once():
    budget = RetryBudget(0, 1)
    assert retries(budget, 1.0) == SECONDS
    assert retries(budget, 1e9) == SECONDS
    assert retries(budget, 5.0) == 0  # back again: nothing is granted for it


@given(
    st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=200),
    st.integers(0, 200),
    st.integers(0, 3),
)
def test_the_share_holds_whenever_a_retry_is_granted(events, percent, per_second):
    budget, now = RetryBudget(percent, per_second), 0.0
    requests, granted = [], []
    for seconds, first in events:
        now += seconds
        if first or budget.left(now):
            budget.count(now, first=first)
            (requests if first else granted).append(int(now))
        if not first and granted[-1:] == [int(now)]:
            since = int(now) - SECONDS
            made, again = (sum(second > since for second in seconds) for seconds in (requests, granted))
            if budget.left(now) or again:
                assert again * 100 <= made * percent + per_second * SECONDS * 100
