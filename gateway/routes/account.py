"""What a caller may see of its own account: its credits and limits, and the record of one request."""

from __future__ import annotations

import re

import msgspec
import orjson
from aiohttp import web

from gateway.answers import json_response
from gateway.auth.principal import Principal
from gateway.errors import MeteringUnavailable, NotFound
from gateway.services import Services
from metering.ledger import LedgerUnavailable, State
from metering.usage import UsageRecord

_RID = re.compile(r"req_[0-9a-f]{32}")
MINUTE_MS = 60_000
_GONE = "No request of this account has this id, or its record is past its retention."


async def usage_record(services: Services, principal: Principal, rid: str, query: str, own_rid: str) -> web.Response:
    """``GET /v1/requests/{rid}``: the caller's own usage record, or its state until it is settled.

    With ``receipt=1`` in the query a settled record comes as a signed receipt.

    Raises:
        NotFound: No such request of this account (another account's looks the same).
        MeteringUnavailable: The store can't answer.
    """
    if not _RID.fullmatch(rid):
        raise NotFound(_GONE)
    try:
        found = await services.ledger.record(principal.pid, rid)
    except LedgerUnavailable:
        raise MeteringUnavailable from None
    if isinstance(found, UsageRecord):
        if "receipt=1" in query.split("&"):
            return json_response(services.evidence.receipt_body(found), own_rid)
        return json_response(orjson.dumps({"status": "settled", **msgspec.structs.asdict(found)}), own_rid)
    if found is State.PENDING:
        return json_response(orjson.dumps({"status": "pending", "rid": rid}), own_rid)
    if found is State.VOIDED:
        return json_response(orjson.dumps({"status": "voided", "rid": rid, "charge": 0}), own_rid)
    raise NotFound(_GONE)


async def account(services: Services, principal: Principal, own_rid: str) -> web.Response:
    """``GET /v1/account``: credits in micro-credits, and the limits of the tier.

    Raises:
        MeteringUnavailable: The store can't answer.
    """
    try:
        found = await services.ledger.account(principal.pid)
    except LedgerUnavailable:
        raise MeteringUnavailable from None
    limits = services.limits.get(principal.tier) or services.limits["default"]
    credits_ = {"granted": 0, "spent": 0, "held": 0, "available": 0}
    if found is not None:
        credits_ = {
            "granted": found.granted,
            "spent": found.spent,
            "held": found.held,
            "available": found.available,
        }
    body = {
        "tier": principal.tier,
        "mode": principal.mode.value,
        "credits": {**credits_, "unit": "micro-credits"},
        "limits": {
            "requests_per_minute": limits.requests_per_minute or None,
            "tokens_per_minute": limits.tokens_per_minute or None,
            "concurrent": limits.concurrent or None,
        },
        "refills": {
            # Both rates refill evenly: after so many milliseconds there is room for one more.
            "requests_per_minute_ms": _refill_ms(limits.requests_per_minute),
            "tokens_per_minute_ms": _refill_ms(limits.tokens_per_minute),
        },
    }
    return json_response(orjson.dumps(body), own_rid)


def _refill_ms(per_minute: int) -> int | None:
    return -(-MINUTE_MS // per_minute) if per_minute else None
