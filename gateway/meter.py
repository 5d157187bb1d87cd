"""What one request owes: credit is held before its provider is called, and given back or settled once after.

Rules:

1. `reserve` comes before any byte goes to a provider; it raises, and then nothing is held.
2. `decide` chooses once between a record and a void, whoever asks first; `settle` hands that over synchronously,
   so that it may stand in a ``finally`` where a cancellation is under way.
3. A fault of ours never loses a hold: it is given back, and the fault is logged by its type.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from gateway import accounting
from gateway.admission import Admission
from gateway.answers import rate_limit_headers
from gateway.auth.principal import Principal
from gateway.catalog import CatalogTarget
from gateway.errors import (
    ConcurrencyLimited,
    CreditsExhausted,
    GatewayError,
    MeteringUnavailable,
    RateLimited,
    Superseded,
)
from gateway.lanes import Taken
from gateway.log import Event
from gateway.services import Services
from metering import pricing
from metering.ledger import LedgerConflict, LedgerUnavailable, Refused, Reservation, Reserved
from metering.usage import UsageRecord

LEASE_MS = 900_000
BUDGET_USED = {
    "daily": "The credits that this plan allows for one day (UTC) are used or held. Wait as long as Retry-After says, "
    "lower the output limit, or change the plan.",
    "monthly": "The credits that this plan allows for one month (UTC) are used or held. Wait as long as Retry-After "
    "says, lower the output limit, or change the plan.",
}


class Meter:
    """One request's money.

    Attributes:
        reserved: The ledger's answer, once there is a hold.
        record: The settlement that was decided, or ``None`` for a void.
    """

    __slots__ = ("_admission", "_decided", "_principal", "_rid", "_services", "_started_ms", "record", "reserved")

    def __init__(self, services: Services, rid: str, principal: Principal, admission: Admission) -> None:
        self._services = services
        self._rid = rid
        self._principal = principal
        self._admission = admission
        self._started_ms = time.time_ns() // 1_000_000
        self._decided = False
        self.reserved: Reserved | None = None
        self.record: UsageRecord | None = None

    async def reserve(self, lane: Taken | None = None) -> None:
        """Take the hold, the lease, the rate and, where there is one, the autocomplete lane in one call.

        Raises:
            CreditsExhausted, RateLimited, ConcurrencyLimited, Superseded: The ledger refuses.
            MeteringUnavailable: It does not answer; should it have run, it is voided.
        """
        services, admission, principal = self._services, self._admission, self._principal
        reservation = Reservation(
            rid=self._rid,
            pid=principal.pid,
            amount=admission.amount,
            tokens=admission.tokens,
            lease_ms=LEASE_MS,
            limits=services.limits.of(principal.tiers or (principal.tier,)),
            lane="" if lane is None else lane.name,
        )
        began = services.loop.time()
        try:
            call = services.ledger.reserve(reservation)
            decision = await (call if lane is None else lane.reserve(call))
        except LedgerUnavailable as error:
            if error.maybe_ran:
                services.settler.void(principal.pid, self._rid)
            raise MeteringUnavailable from None
        except LedgerConflict:
            raise MeteringUnavailable from None
        except asyncio.CancelledError:
            services.settler.void(principal.pid, self._rid)
            raise
        services.instruments.reserve.observe(services.loop.time() - began)
        if isinstance(decision, Refused):
            raise _refused(decision)
        self.reserved = decision

    def decide(self, ended: accounting.Ended, target: CatalogTarget) -> UsageRecord | None:
        """The record, or ``None`` for a void; the first call decides for all later ones."""
        if self._decided:
            return self.record
        self._decided = True
        settled = accounting.settlement(ended)
        if settled is None:
            return None
        services, provider = self._services, target.provider.name

        def price_of(model: str) -> pricing.Price | None:
            found = services.catalog.find_by_provider_model(provider, model)
            return found.price if found is not None else None

        self.record = accounting.record(
            accounting.Identity(
                self._rid,
                self._principal.pid,
                provider,
                self._admission.model.name,
                self._started_ms,
                target.price.version,
            ),
            settled,
            accounting.outcome_of(ended),
            price=target.price,
            asked=self._admission.head.variant,
            price_of=price_of,
            settled_ms=time.time_ns() // 1_000_000,
            abort=services.config.billing.abort,
        )
        return self.record

    def settle(self, facts: Callable[[], accounting.Ended | None], target: CatalogTarget) -> UsageRecord | None:
        """Hand over what was decided, or is now by ``facts`` (``None``: nobody bills it). Call once, at the end."""
        services = self._services
        record = self.record
        try:
            if not self._decided and (ended := facts()) is not None:
                record = self.decide(ended, target)
        except Exception as error:  # noqa: BLE001 - whatever it is, the hold must be given back
            # Never lose the hold to a fault of ours: the reaper would charge an orphan.
            services.log.failure(Event.HANDLER_FAILED, error, rid=self._rid)
        if record is None:
            services.settler.void(self._principal.pid, self._rid)
        else:
            services.settler.submit(record)
        return record


def _refused(decision: Refused) -> GatewayError:
    headers = rate_limit_headers(decision.windows)
    retry = max(1.0, decision.retry_after_ms / 1000)
    match decision.reason:
        case "credits" | "unknown_account":
            return CreditsExhausted(needed=decision.needed, held=decision.held, available=decision.available)
        case "requests" | "tokens":
            return RateLimited(retry_after=retry, headers=headers)
        case "daily" | "monthly":
            return RateLimited(BUDGET_USED[decision.reason], retry_after=retry, headers=headers)
        case "superseded":
            return Superseded()
        case "concurrency":
            return ConcurrencyLimited(retry_after=retry, headers=headers)
        case _:
            return MeteringUnavailable()
