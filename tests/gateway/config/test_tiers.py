from __future__ import annotations

import pytest

from tests.gateway.config.parsing import fault, parse


def test_limits_and_the_default_tier_that_has_none() -> None:
    config = parse(
        """
[tiers.pro]
requests_per_minute = 60
tokens_per_minute = 100_000
concurrent = 4
daily_credits = 12.5
monthly_credits = 300
"""
    )
    pro = config.tiers["pro"]
    assert (pro.requests_per_minute, pro.tokens_per_minute, pro.concurrent) == (60, 100_000, 4)
    assert (pro.daily_credits, pro.monthly_credits) == (12_500_000, 300_000_000)
    assert set(config.tiers) == {"default", "pro"}
    assert config.tiers["default"].requests_per_minute == 0


@pytest.mark.parametrize("amount", ["-1", "0.0000001", "1e20", "nan", "inf", '"5"', "true"])
def test_what_is_no_amount_of_credits(amount: str) -> None:
    assert fault(f"[tiers.pro]\ndaily_credits = {amount}").startswith("tiers.pro.daily_credits: ")
