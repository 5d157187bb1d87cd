from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from gateway.config import AbortRule, HoldRule
from tests.gateway.config.parsing import fault, parse


def test_how_usage_becomes_credits() -> None:
    billing = parse('[billing]\ncredit_usd = 0.001\nhold = "worst"\nmarkup = 0.2\nabort = "input"\n').billing
    assert billing.credit_usd == Decimal("0.001")
    assert billing.markup == Fraction(6, 5)
    assert (billing.hold, billing.abort) == (HoldRule.WORST, AbortRule.INPUT)


@pytest.mark.parametrize("markup", ["-1.1", "10.5", "nan", "inf", '"0.2"', "true"])
def test_a_markup_out_of_range(markup: str) -> None:
    assert fault(f"[billing]\nmarkup = {markup}").startswith("billing.markup: ")


@pytest.mark.parametrize("value", ["-1", "nan", "1000001", '"1"'])
def test_an_hour_s_abandoned_credits_out_of_range(value: str) -> None:
    assert fault(f"[billing]\nabandoned_credits = {value}").startswith("billing.abandoned_credits: ")
