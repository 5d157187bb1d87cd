from __future__ import annotations

from gateway.config import TierConfig
from gateway.inference.limits import TierLimits
from metering.ledger.ledger import Limits

TIERS = {
    "default": TierConfig("default", 10, 1_000, 1),
    "pro": TierConfig("pro", 600, 0, 16, 5_000_000),
    "team": TierConfig("team", 300, 9_000, 0, 7_000_000, 90_000_000),
}


def test_each_limit_is_the_lowest_of_the_plans_and_0_is_none() -> None:
    limits = TierLimits(TIERS)
    assert limits.of(("pro",)) == Limits(600, 0, 16, 5_000_000, 0)
    assert limits.of(("pro", "team")) == Limits(300, 9_000, 16, 5_000_000, 90_000_000)
    assert limits.of(("team", "pro")) == limits.of(("pro", "team"))
    assert limits.of(("pro",)) is limits.of(("pro",))


def test_a_plan_that_is_not_configured_is_the_default_one() -> None:
    assert TierLimits(TIERS).of(("gone",)) == Limits(10, 1_000, 1)
    assert TierLimits(TIERS).of(("gone", "pro")) == Limits(10, 1_000, 1, 5_000_000)
