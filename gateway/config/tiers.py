"""``[tiers.NAME]``: the limits of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from gateway.config.reader import Section, check_name
from metering.usage import LARGEST_AMOUNT, MICRO_CREDITS

DEFAULT_TIER = "default"


@dataclass(frozen=True, slots=True)
class TierConfig:
    """The limits of a plan; 0 is none. Credits are micro-credits here, and days and months are of UTC."""

    name: str
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    concurrent: int = 0
    daily_credits: int = 0
    monthly_credits: int = 0


def read_tiers(root: Section) -> Mapping[str, TierConfig]:
    """All tiers by name; `DEFAULT_TIER` has no limits unless the file states them."""
    tiers = {DEFAULT_TIER: TierConfig(DEFAULT_TIER)}
    return tiers | {name: _tier(section, name) for name, section in root.tables("tiers")}


def _tier(section: Section, name: str) -> TierConfig:
    check_name(section, name)
    usual = TierConfig(name)
    tier = TierConfig(
        name=name,
        requests_per_minute=section.integer("requests_per_minute", usual.requests_per_minute, 0),
        tokens_per_minute=section.integer("tokens_per_minute", usual.tokens_per_minute, 0),
        concurrent=section.integer("concurrent", usual.concurrent, 0),
        daily_credits=_credits(section, "daily_credits", usual.daily_credits),
        monthly_credits=_credits(section, "monthly_credits", usual.monthly_credits),
    )
    section.close()
    return tier


def _credits(section: Section, key: str, default: int) -> int:
    """Credits of the file as micro-credits."""
    amount = section.decimal(key, Decimal(default) / MICRO_CREDITS) * MICRO_CREDITS
    if amount < 0 or amount > LARGEST_AMOUNT or amount % 1:
        section.fault(key, "is not an amount of credits", "write credits, 0 for no limit, with 6 decimals at most")
        return default
    return int(amount)
