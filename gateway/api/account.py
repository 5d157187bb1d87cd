"""What a caller may see of its own account: its credits and limits, and the record of one request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec
import orjson
from aiohttp import web

from gateway.api.shapes import (
    AccountCredits,
    AccountLimit,
    AccountPolicy,
    OwnAccount,
    PendingRequest,
    Unit,
    VoidedRequest,
)
from gateway.auth.principal import Principal
from gateway.auth.retention import strictest
from gateway.config import PolicyConfig
from gateway.errors import MeteringUnavailable, NotFound
from gateway.evidence.statement import Evidence
from gateway.http.answers import json_response
from gateway.inference.services import Books
from gateway.names import is_rid
from metering import clock
from metering.ledger.ledger import Ledger, LedgerUnavailable, State, Window
from metering.usage import UsageRecord

# The ledger's policy to its name in the configuration, and what it counts.
_LIMITS: Final[Mapping[str, tuple[str, Unit]]] = {
    "requests": ("requests_per_minute", "requests"),
    "tokens": ("tokens_per_minute", "tokens"),
    "concurrency": ("concurrent", "requests at once"),
    "daily": ("daily_credits", "micro-credits"),
    "monthly": ("monthly_credits", "micro-credits"),
}
_GONE = "No request of this account has this id, or its record was deleted after its retention."


async def usage_record(
    ledger: Ledger, evidence: Evidence, principal: Principal, rid: str, *, query: str, own_rid: str
) -> web.Response:
    """``GET /v1/requests/{rid}``: the caller's own usage record, or its state until it is settled.

    With ``receipt=1`` in the query a settled record comes as a signed receipt.

    Raises:
        NotFound: No such request of this account (another account's looks the same).
        MeteringUnavailable: The store can't answer.
    """
    if not is_rid(rid):
        raise NotFound(_GONE)
    try:
        found = await ledger.record(principal.pid, rid)
    except LedgerUnavailable:
        raise MeteringUnavailable from None
    if isinstance(found, UsageRecord):
        if "receipt=1" in query.split("&"):
            return json_response(evidence.receipt_body(found), own_rid)
        return json_response(orjson.dumps({"status": "settled", **msgspec.structs.asdict(found)}), own_rid)
    if found is State.PENDING:
        return json_response(msgspec.json.encode(PendingRequest(rid)), own_rid)
    if found is State.VOIDED:
        return json_response(msgspec.json.encode(VoidedRequest(rid)), own_rid)
    raise NotFound(_GONE)


async def account(books: Books, policy: PolicyConfig, principal: Principal, own_rid: str) -> web.Response:
    """``GET /v1/account``: credits, each limit that there is and when it refills, and what the policy leaves.

    ``refilled_ms`` is Unix milliseconds; a limit that refills ``evenly`` has room for more before that.

    Raises:
        MeteringUnavailable: The store can't answer.
    """
    limits = books.limits.of(principal.tiers or (principal.tier,))
    try:
        found, windows = await asyncio.gather(  # one round trip: both go in one pipeline
            books.ledger.account(principal.pid), books.ledger.limits(principal.pid, limits)
        )
    except LedgerUnavailable:
        raise MeteringUnavailable from None
    now_ms = clock.now_ms()
    credits_ = AccountCredits()
    if found is not None:
        credits_ = AccountCredits(found.granted, found.spent, found.held, found.available)
    shown = OwnAccount(
        principal.tier,
        principal.mode,
        credits_,
        {_LIMITS[window.policy][0]: _shown(window, now_ms) for window in windows},
        AccountPolicy(
            sorted(principal.regions) if principal.regions is not None else None,
            strictest(policy.max_retention_days, principal.max_retention_days),
            sorted(principal.models) if principal.models is not None else None,
            sorted(principal.fallback_companies),
            principal.required_app or None,
        ),
    )
    return json_response(msgspec.json.encode(shown), own_rid)


def _shown(window: Window, now_ms: int) -> AccountLimit:
    """A limit that there is: what is left of it now, and when all of it is there again."""
    return AccountLimit(
        window.limit,
        window.remaining,
        _LIMITS[window.policy][1],
        now_ms + window.reset_ms if window.policy != "concurrency" else None,
        window.policy in ("requests", "tokens"),
    )
