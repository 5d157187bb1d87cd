"""``[billing]``: how usage becomes credits."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from gateway.config.reader import Section


class HoldRule(StrEnum):
    """How much credit a request holds before it is sent."""

    LEARNT = "learnt"  # the smaller of the request's limit and the model's usual output
    WORST = "worst"  # the request's limit or the model's, at the most expensive rate


class ShortRule(StrEnum):
    """What happens to a request that may cost more than the account has left."""

    CAP = "cap"  # its output limit is lowered to what the credit pays
    REFUSE = "refuse"


class AbortRule(StrEnum):
    """What a cut stream charges; its cost is recorded in any case."""

    PRODUCED = "produced"  # the input and what was produced
    INPUT = "input"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class BillingConfig:
    """How usage becomes credits. ``markup`` is a factor here: 0.2 in the file is 6/5.

    ``abandoned_credits`` is what an account may cost the operator in an hour by requests that it leaves before their
    provider's response head; beyond it their input is charged.
    """

    credit_usd: Decimal = Decimal("0.01")
    hold: HoldRule = HoldRule.LEARNT
    markup: Fraction = Fraction(1)
    abort: AbortRule = AbortRule.PRODUCED
    abandoned_credits: Decimal = Decimal(50)
    short: ShortRule = ShortRule.CAP


def read_billing(root: Section) -> BillingConfig:
    section, usual = root.table("billing"), BillingConfig()
    credit = section.decimal("credit_usd", usual.credit_usd)
    if not Decimal("0.000001") <= credit <= 1_000:
        section.fault("credit_usd", "is out of range", "write USD from 0.000001 to 1000; 0.01 is usual")
        credit = usual.credit_usd
    on_top = section.decimal("markup", Decimal(0))
    if not -1 <= on_top <= 10:
        section.fault("markup", "is out of range", "write 0.2 for 20 percent on top; -1 to 10")
        on_top = Decimal(0)
    abandoned = section.decimal("abandoned_credits", usual.abandoned_credits)
    if not 0 <= abandoned <= 1_000_000:
        section.fault("abandoned_credits", "is out of range", "write credits an hour from 0 to 1000000; 0 charges all")
        abandoned = usual.abandoned_credits
    config = BillingConfig(
        credit_usd=credit,
        hold=section.choice("hold", usual.hold),
        markup=usual.markup + Fraction(on_top),
        abort=section.choice("abort", usual.abort),
        abandoned_credits=abandoned,
        short=section.choice("short", usual.short),
    )
    section.close()
    return config
