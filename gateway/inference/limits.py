"""The limits of each plan, and of a caller whose plans are several."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.config import DEFAULT_TIER, TierConfig
from metering.ledger.ledger import Limits


class TierLimits:
    """Built once a worker. A plan that is not configured has the limits of the default one."""

    def __init__(self, tiers: Mapping[str, TierConfig]) -> None:
        self._tiers = {
            name: Limits(
                tier.requests_per_minute,
                tier.tokens_per_minute,
                tier.concurrent,
                tier.daily_credits,
                tier.monthly_credits,
            )
            for name, tier in tiers.items()
        }
        self._joined: dict[tuple[str, ...], Limits] = {}  # bounded by the names that billing gives plans

    def of(self, tiers: tuple[str, ...]) -> Limits:
        """The strictest of these plans' values for each limit."""
        found = self._joined.get(tiers)
        if found is None:
            found = self._joined[tiers] = self._join(tiers)
        return found

    def _join(self, tiers: tuple[str, ...]) -> Limits:
        plans = [self._tiers.get(tier, self._tiers[DEFAULT_TIER]) for tier in tiers]
        return Limits(
            *(min((value for value in values if value), default=0) for values in zip(*map(_values, plans), strict=True))
        )


def _values(limits: Limits) -> tuple[int, ...]:
    return msgspec.structs.astuple(limits)
