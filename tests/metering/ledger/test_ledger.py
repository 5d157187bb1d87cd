from __future__ import annotations

from metering.ledger.ledger import Ledger, Limits, Window


async def test_an_account_that_is_not_there_has_used_nothing(ledger: Ledger) -> None:
    assert await ledger.limits("pnobody", Limits(60, 0, 2)) == (
        Window("concurrency", 2, 2, 0),
        Window("requests", 60, 60, 0),
    )
    assert await ledger.limits("pnobody", Limits()) == ()


async def test_the_largest_budget_is_told_exactly(ledger: Ledger) -> None:
    (daily,) = await ledger.limits("pnobody", Limits(daily=2**53 - 1))
    assert (daily.policy, daily.limit, daily.remaining) == ("daily", 2**53 - 1, 2**53 - 1)
    assert 0 < daily.reset_ms <= 86_400_000
