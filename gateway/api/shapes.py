"""The types of what a caller reads of its own account, which the OpenAPI document shows.

Amounts are micro-credits, times Unix milliseconds.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.auth.principal import Mode

Unit = Literal["requests", "tokens", "requests at once", "micro-credits"]


class AccountCredits(msgspec.Struct, frozen=True):
    """``available``: ``granted`` without ``spent`` and ``held``, which is what running requests may cost."""

    granted: int = 0
    spent: int = 0
    held: int = 0
    available: int = 0
    unit: Literal["micro-credits"] = "micro-credits"


class AccountLimit(msgspec.Struct, frozen=True):
    """A limit that refills ``evenly`` has room for more before ``refilled_ms``, when all of it is there again."""

    limit: int
    remaining: int
    unit: Unit
    refilled_ms: int | None
    evenly: bool


class AccountPolicy(msgspec.Struct, frozen=True):
    """What the policy of operator, organisation, account and session leaves; null is no limit."""

    regions: list[str] | None
    max_retention_days: int | None
    models: list[str] | None
    fallback_companies: list[str]
    min_app_version: str | None


class OwnAccount(msgspec.Struct, frozen=True):
    """``limits`` are by their names in the configuration's ``[tiers]``; one that does not exist is left out."""

    tier: str
    mode: Mode
    credits: AccountCredits
    limits: dict[str, AccountLimit]
    policy: AccountPolicy


class PendingRequest(msgspec.Struct, frozen=True):
    """A request that is not settled yet."""

    rid: str
    status: Literal["pending"] = "pending"


class VoidedRequest(msgspec.Struct, frozen=True):
    """A request that has no record, since it cost nothing."""

    rid: str
    status: Literal["voided"] = "voided"
    charge: Literal[0] = 0
