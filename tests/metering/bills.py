"""What one request costs, for the tests of prices."""

from __future__ import annotations

from metering.pricing import Price, bill
from metering.usage import Usage, Variant


def cost(price: Price, usage: Usage, variant: Variant) -> int:
    return bill(((price, usage),), variant).cost


def charge(price: Price, usage: Usage, variant: Variant) -> int:
    return bill(((price, usage),), variant).charge
