"""A target that fails is passed by, and no single account decides that for others: transcripts with a clock by hand, and
a machine of random events.
"""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.upstream import target_health
from gateway.upstream.rest import FIRST_REST, PROBE_SECONDS, SHORTEST_REST
from gateway.upstream.target_health import (
    FEWEST_ACCOUNTS,
    FEWEST_REQUESTS,
    LONGEST_TARGET_REST,
    MOST_ACCOUNTS,
    WINDOW_SECONDS,
    TargetHealth,
)

BYSTANDER = "somebody else"


def ejected(now=0.0):
    """A target that failed for as many accounts as it takes."""
    health = TargetHealth()
    for number in range(FEWEST_REQUESTS):
        health.failed("m", f"account {number}", now)
    assert health.wait("m", BYSTANDER, now) == FIRST_REST
    return health


def test_a_failure_rests_the_target_for_its_account_only():
    health = TargetHealth()
    health.failed("m", "a", 0.0)
    assert health.wait("m", "a", 0.0) == FIRST_REST
    assert health.wait("n", "a", 0.0) == health.wait("m", BYSTANDER, 0.0) == 0.0
    assert health.wait("m", "a", FIRST_REST) == 0.0


@pytest.mark.parametrize(("stated", "rest"), [(20.0, 20.0), (0.0, SHORTEST_REST), (3_600.0, LONGEST_TARGET_REST)])
def test_a_rest_is_as_long_as_the_provider_says(stated, rest):
    health = TargetHealth()
    health.failed("m", "a", 0.0, stated)
    assert health.wait("m", "a", 0.0) == rest


def test_after_a_rest_one_request_tries_the_target():
    health = TargetHealth()
    health.failed("m", "a", 0.0)
    health.use("m", "a", FIRST_REST - 0.1)  # nothing else was left: this tries nothing
    assert health.wait("m", "a", FIRST_REST) == 0.0
    health.use("m", "a", FIRST_REST)
    assert health.wait("m", "a", FIRST_REST) == PROBE_SECONDS
    health.failed("m", "a", FIRST_REST + 1)
    assert health.wait("m", "a", FIRST_REST + 1) == 2 * FIRST_REST
    health.use("m", "a", 3 * FIRST_REST + 1)
    health.answered("m", "a", 3 * FIRST_REST + 2)
    assert health.wait("m", "a", 3 * FIRST_REST + 2) == 0.0


def test_one_account_ejects_nothing():
    health = TargetHealth()
    for second in range(1_000):
        health.failed("m", "a", float(second))
    assert health.wait("m", BYSTANDER, 1_000.0) == 0.0
    assert health.ejected(1_000.0) == 0


def test_failures_of_several_accounts_eject():
    health = ejected()
    assert health.ejected(0.0) == 1
    assert health.wait("n", BYSTANDER, 0.0) == 0.0  # another model


def test_failures_before_anything_was_sent_need_no_several_accounts():
    health = TargetHealth()
    for _ in range(FEWEST_REQUESTS):
        assert health.wait("m", BYSTANDER, 0.0) == 0.0
        health.failed("m", "a", 0.0, sent=False)
    assert health.wait("m", BYSTANDER, 0.0) == FIRST_REST


@pytest.mark.parametrize(("well", "out"), [(4, True), (7, False)])
def test_the_share_of_failing_accounts_decides(well, out):
    health = TargetHealth()
    for number in range(well):
        health.answered("m", f"well {number}", 0.0)
    for number in range(4):
        health.failed("m", f"ill {number}", 1.0)
    assert (health.wait("m", BYSTANDER, 1.0) > 0) is out


def test_an_account_that_also_succeeds_counts_by_its_share():
    health = TargetHealth()
    for number in range(6):
        for _ in range(3):
            health.answered("m", f"account {number}", 0.0)
        health.failed("m", f"account {number}", 0.0)
    assert health.wait("m", BYSTANDER, 0.0) == 0.0  # a quarter of the requests fail


def test_what_is_older_than_a_window_does_not_count():
    health = TargetHealth()
    for number in range(FEWEST_REQUESTS):
        health.failed("m", f"account {number}", number * WINDOW_SECONDS)
    assert health.wait("m", BYSTANDER, FEWEST_REQUESTS * WINDOW_SECONDS) == 0.0


def test_one_account_prolongs_an_ejection_once():
    health = ejected()
    now = FIRST_REST
    health.use("m", "bad", now)
    assert health.wait("m", BYSTANDER, now) == PROBE_SECONDS
    health.failed("m", "bad", now)
    assert health.wait("m", BYSTANDER, now) == 2 * FIRST_REST
    now += 2 * FIRST_REST
    for _ in range(100):
        health.use("m", "bad", now)
        health.failed("m", "bad", now)
        assert health.wait("m", BYSTANDER, now) == 0.0  # and the next one of somebody else tries it
    health.use("m", BYSTANDER, now)
    health.answered("m", BYSTANDER, now)
    assert health.ejected(now) == 0
    health.failed("m", "bad", now)
    assert health.wait("m", BYSTANDER, now) == 0.0  # what was counted before is forgotten


def test_an_answer_during_the_rest_is_of_a_request_that_began_before():
    health = ejected()
    health.answered("m", BYSTANDER, 0.5)
    assert health.wait("m", BYSTANDER, 0.5) == FIRST_REST - 0.5
    health.answered("m", BYSTANDER, FIRST_REST)
    assert health.wait("m", "account 9", FIRST_REST) == 0.0


def test_nothing_grows_without_bound(monkeypatch):
    monkeypatch.setattr(target_health, "MOST_RESTS", 50)
    health = TargetHealth()
    for number in range(2 * MOST_ACCOUNTS):
        health.answered(f"m{number}", "a", 0.0)
    for number in range(2 * MOST_ACCOUNTS):
        health.answered("m", f"account {number}", 0.0)
        health.failed(f"m{number}", f"account {number}", 0.0)
    health.answered("m", "a", 0.0)
    assert len(health._own) == len(health._windows) == 50
    assert len(health._windows["m"]._half.accounts) <= MOST_ACCOUNTS


class AnyAttempts(RuleBasedStateMachine):
    """Requests of a few accounts, their endings and time in any order."""

    def __init__(self):
        super().__init__()
        self.health = TargetHealth()
        self.now = 0.0
        self.failing = set()  # accounts whose requests failed since the target last answered everybody well
        self.unsent = False

    @rule(account=st.sampled_from("abcdef"), wait=st.none() | st.floats(-1, 1_000), sent=st.booleans())
    def fail(self, account, wait, sent):
        self.failing.add(account)
        self.unsent |= not sent
        self.health.use("m", account, self.now)
        self.health.failed("m", account, self.now, wait, sent=sent)
        assert self.health.wait("m", account, self.now) > 0

    @rule(account=st.sampled_from("abcdef"))
    def answer(self, account):
        self.health.answered("m", account, self.now)
        if not self.health.ejected(self.now):
            assert self.health.wait("m", account, self.now) == 0.0

    @rule(account=st.sampled_from("abcdef"))
    def leave(self, account):
        self.health.use("m", account, self.now)

    @rule(seconds=st.floats(0, 100))
    def pass_time(self, seconds):
        self.now += seconds

    @invariant()
    def every_rest_ends(self):
        longest = max(LONGEST_TARGET_REST, PROBE_SECONDS)
        assert all(0 <= self.health.wait("m", account, self.now) <= longest + 1e-6 for account in ("a", BYSTANDER))

    @invariant()
    def few_accounts_eject_nothing(self):
        if len(self.failing) < FEWEST_ACCOUNTS and not self.unsent:
            assert self.health.wait("m", BYSTANDER, self.now) == 0.0


TestAnyAttempts = AnyAttempts.TestCase
