"""What one request owes: credit is held before its provider is called, and given back or settled once after.

Rules:

1. `reserve` comes before any byte goes to a provider. On return there is a hold, and a note of the request in the spool
   that outlives this process; it raises, and then nothing is held.
2. `decide` chooses once between a record and a void, whoever asks first; `settle` hands that over synchronously,
   so that it may stand in a ``finally`` where a cancellation is under way.
3. A fault of ours never loses a hold: it is given back, and the fault is logged by its type.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.auth.principal import Principal
from gateway.catalog.catalog import CatalogTarget
from gateway.catalog.naming import is_snapshot
from gateway.errors import (
    AccountRestricted,
    ConcurrencyLimited,
    CreditsExhausted,
    GatewayError,
    MeteringUnavailable,
    RateLimited,
    Superseded,
)
from gateway.http.answers import rate_limit_headers
from gateway.inference import accounting, estimate, holds
from gateway.inference.admission import Admission, at_provider
from gateway.inference.answer import Answer, Ending
from gateway.inference.lanes import Taken
from gateway.inference.leases import LEASE_MS
from gateway.inference.running import Stoppable
from gateway.inference.services import Services
from gateway.names import Rid
from gateway.telemetry.log import Event
from metering import pricing
from metering.clock import now_ms
from metering.ledger.ledger import LedgerConflict, LedgerUnavailable, Refused, Reservation, Reserved, Touch, Window
from metering.spool.spool import SpoolFull
from metering.usage import Basis, Outcome, Usage, UsageRecord

BUDGET_USED = {
    "daily": "The credits that this plan allows for one day (UTC) are used or held. Lower the output limit, change the "
    "plan, or wait.",
    "monthly": "The credits that this plan allows for one month (UTC) are used or held. Lower the output limit, change "
    "the plan, or wait.",
}
MORE_OUTPUT = 512  # tokens held beyond the estimate, so that a growing answer is not raised at each touch
UNSEEN_SPEED = 200  # tokens a second that a model produces unseen at most, until its own speed is learnt


class Metered(Stoppable, Protocol):
    """The request that is metered."""

    def progress(self) -> tuple[CatalogTarget, int]:
        """Where it is now, and how many output tokens it has had by estimate."""
        ...


class Meter:
    """One request's money.

    Attributes:
        reserved: The ledger's answer, once there is a hold.
        output_limit: The output limit of one choice that must be sent to the provider in place of the request's own,
            because the credit pays no more; ``None``: the request's own stands.
        record: The settlement that was decided, or ``None`` for a void.
    """

    __slots__ = (
        "_admission",
        "_asked_output",
        "_catalog",
        "_decided",
        "_held_output",
        "_most_output",
        "_principal",
        "_request",
        "_rid",
        "_services",
        "_started_ms",
        "_unseen_ms",
        "output_limit",
        "record",
        "reserved",
    )

    def __init__(self, services: Services, rid: Rid, principal: Principal, admission: Admission) -> None:
        self._services = services
        self._rid = rid
        self._principal = principal
        self._admission = admission
        self._catalog = services.catalog  # a dated change of prices leaves this request alone
        self._started_ms = now_ms()
        self._decided = False
        self._held_output = self._asked_output = admission.output_tokens  # of one choice
        self._most_output = admission.most_output
        self._unseen_ms = 0  # after which there was no output that could be seen
        self.output_limit: int | None = None
        self._request: Metered | None = None
        self.reserved: Reserved | None = None
        self.record: UsageRecord | None = None

    async def reserve(self, request: Metered, lane: Taken | None = None) -> None:
        """Take the hold, the lease, the rate and, where there is one, the autocomplete lane in one call; then note in
        the spool that the request is about to go.

        The caller must call `settle` once this has returned, and only then.

        Raises:
            CreditsExhausted, RateLimited, ConcurrencyLimited, Superseded, AccountRestricted: The ledger refuses.
            MeteringUnavailable: It does not answer (should it have run, it is voided), or the spool takes no more.
        """
        services, admitted, principal = self._services, self._admission, self._principal
        if services.spool.full:
            raise MeteringUnavailable
        reservation = Reservation(
            rid=self._rid,
            pid=principal.pid,
            amount=admitted.amount,
            tokens=admitted.tokens,
            lease_ms=LEASE_MS,
            limits=services.limits.of(principal.tiers or (principal.tier,)),
            orphan=self._orphan(admitted.targets[0], 0),
            lane="" if lane is None else lane.name,
            worst=admitted.worst,
            least=admitted.least,
        )
        began = services.loop.time()
        try:
            call = services.ledger.reserve(reservation)
            decision = await (call if lane is None else lane.reserve(call))
            services.instruments.reserve.observe(services.loop.time() - began)
            if isinstance(decision, Refused):
                raise _refused(decision)
            await services.spool.intent(principal.pid, self._rid)
        except LedgerUnavailable as error:
            if error.maybe_ran:
                services.settler.void(principal.pid, self._rid)
            raise MeteringUnavailable from None
        except LedgerConflict:
            raise MeteringUnavailable from None
        except SpoolFull:
            services.settler.void(principal.pid, self._rid)
            raise MeteringUnavailable from None
        except asyncio.CancelledError:
            services.settler.void(principal.pid, self._rid)
            raise
        self.reserved = decision
        if decision.most < admitted.worst:
            self.cap(admitted.limit(decision.most))
        self._request = request
        services.leases.begin(self, request)

    def cap(self, limit: int) -> None:
        """The credit pays ``limit`` tokens of each choice and no more; they are held."""
        self.output_limit = self._held_output = self._asked_output = self._most_output = limit

    @property
    def windows(self) -> tuple[Window, ...]:
        """The caller's limits as the reserve left them."""
        return self.reserved.windows if self.reserved is not None else ()

    def touch(self) -> Touch:
        """What the ledger is told while the request runs: how far it has come, and a larger hold where it needs one."""
        request, admitted = self._request, self._admission
        assert request is not None
        target, output = request.progress()
        amount, most = 0, 0 if self.reserved is None else self.reserved.most
        if admitted.billed and (needed := self._needed(output)) > self._held_output:
            self._asked_output = needed
            amount = min(admitted.costs.usual(needed), most)
            if needed > self._most_output:
                amount = max(admitted.costs.worst(needed), amount)
        return Touch(self._principal.pid, self._rid, LEASE_MS, amount, self._orphan(target, output), most)

    def _needed(self, output: int) -> int:
        """Output tokens of one choice to hold, if ``output`` of all choices were seen so far: what was seen, with half
        again, since estimates are low rather than high; and what may have been produced unseen, by the time that it
        took: reasoning, or an answer that is not streamed. It passes the longest answer only if more was seen: then
        that was not known, or the host ignores its limit.
        """
        admitted = self._admission
        if not output:
            self._unseen_ms = now_ms() - self._started_ms
        speed = self._services.learning.reasoning_speed(admitted.model.name)
        unseen = self._unseen_ms * (UNSEEN_SPEED if speed is None else 2 * speed) // 1_000
        seen = -(-output // admitted.head.choices)
        if seen > self._most_output:
            return seen + MORE_OUTPUT
        needed = -(-seen * 3 // 2) + unseen
        return min(needed + MORE_OUTPUT, self._most_output) if needed > self._held_output else needed

    def raised(self) -> None:
        """The ledger holds what the last `touch` asked for."""
        self._held_output = self._asked_output

    def decide(self, answer: Answer, outcome: Outcome, target: CatalogTarget) -> UsageRecord | None:
        """The record, or ``None`` for a void; the first call decides for all later ones."""
        if self._decided:
            return self.record
        self._decided = True
        settled = accounting.settlement(
            answer, expected=self._admission.input_expected, reasoned=self._reasoned(answer, target)
        )
        if settled is None:
            return None
        record = self._record(settled, outcome, target)
        if answer.ending is Ending.STOPPED and not answer.headed and self._forgiven(record):
            return None
        self.record = record
        if self._exceeds(settled, target):
            self._services.instruments.limits_ignored.inc(target.provider.name)
        if settled.basis is Basis.REPORTED and outcome is Outcome.COMPLETED:
            self._learn(answer, settled.usage, target)
        return record

    def _forgiven(self, record: UsageRecord) -> bool:
        """Nothing is charged for a request that was left before its response head, and so it counts as one that nobody
        pays for, unless a newer keystroke took its place. The gateway's own end of it is no matter of the account's.
        """
        if record.outcome == Outcome.DRAINED:
            return True
        if not self._services.abandoned.forgives(self._principal.pid, record.charge):
            return False
        if record.outcome == Outcome.CLIENT_ABORT:
            self._services.unpaid.add(self._principal.pid)
        return True

    def _reasoned(self, answer: Answer, target: CatalogTarget) -> int:
        """Tokens that were probably reasoned unseen, within the request's own limit."""
        admitted = self._admission
        if not (answer.begun and answer.waited_ms and estimate.thinks_unseen(target, admitted.head.weight)):
            return 0
        tokens = estimate.reasoning(answer.waited_ms, self._services.learning.reasoning_speed(admitted.model.name))
        limit = admitted.head.output_limit if self.output_limit is None else self.output_limit
        return tokens if limit is None else min(tokens, max(0, limit * admitted.head.choices - answer.output))

    def _learn(self, answer: Answer, usage: Usage, target: CatalogTarget) -> None:
        """Take note of a whole answer with the provider's own counts."""
        admitted, learning, pid = self._admission, self._services.learning, self._principal.pid
        name = admitted.model.name
        learning.observe(
            name,
            pid,
            estimated=0 if admitted.head.server_tools else admitted.input.text,
            input_tokens=usage.input_tokens,
            cached_tokens=usage.cache_read or 0,
            output_tokens=usage.output_tokens // admitted.head.choices,
        )
        if usage.out_reasoning and estimate.thinks_unseen(target, admitted.head.weight):
            learning.observe_reasoning(name, pid, tokens=usage.out_reasoning, milliseconds=answer.waited_ms)

    def settle(self, decide: Callable[[], UsageRecord | None]) -> UsageRecord | None:
        """Hand over what was decided, or is now by ``decide`` (``None``: nothing is owed). Call once, at the end."""
        services = self._services
        services.leases.end(self)
        self._request = None
        record = self.record
        try:
            if not self._decided:
                record = decide()
        except Exception as error:  # noqa: BLE001 - whatever it is, the hold must be given back
            # Never lose the hold to a bug of the gateway: the reaper would charge an orphan.
            services.log.failure(Event.HANDLER_FAILED, error, rid=self._rid)
        if record is None:
            services.settler.void(self._principal.pid, self._rid)
        else:
            services.settler.submit(record)
        return record

    def _orphan(self, target: CatalogTarget, output: int) -> UsageRecord | None:
        """What the reaper charges if this process dies now; ``None`` for an operation that nobody bills."""
        if not self._admission.billed:
            return None
        settled = accounting.estimated(self._admission.input_expected, output)
        return self._record(settled, Outcome.LOST, target)

    def _record(self, settled: accounting.Settlement, outcome: Outcome, target: CatalogTarget) -> UsageRecord:
        services, provider = self._services, target.provider.name

        def price_of(model: str) -> pricing.Price | None:
            return self._catalog.price_of(target, model)

        record = accounting.record(
            accounting.Identity(
                self._rid,
                self._principal.pid,
                provider,
                self._answering(provider, settled.stated.model),
                self._started_ms,
                target.price.version,
            ),
            settled,
            outcome,
            price=target.price,
            asked=self._admission.head.variant,
            price_of=price_of,
            settled_ms=now_ms(),
            abort=services.config.billing.abort,
            members=self._admission.head.members,
            searches=target.searches,
        )
        reserved = self.reserved
        if reserved is None or not self._exceeds(settled, target):
            return record
        # Beyond a limit that was lowered nothing is charged; else only what the account had when the request began.
        most = reserved.most if self.output_limit is not None else max(reserved.most, reserved.balance - reserved.held)
        return msgspec.structs.replace(record, charge=min(record.charge, most))

    def _answering(self, provider: str, stated: str | None) -> str:
        """The closed name of the model that answered: the one that was asked, or a further one that the request named
        and the answer states.
        """
        admitted = self._admission
        if stated is not None:
            for model in admitted.further.values():
                served = at_provider(model, provider)
                if served is not None and (stated == served.model or is_snapshot(stated, (served.model,))):
                    return model.name
        return admitted.model.name

    def _exceeds(self, settled: accounting.Settlement, target: CatalogTarget) -> bool:
        """The provider produced more than the limit that it was sent or the longest answer that was held for, or called
        its tools more often.
        """
        head, usage = self._admission.head, settled.usage
        longest = self._admission.most_output if self.output_limit is None else self.output_limit
        if usage.output_tokens > longest * head.choices:
            return True
        called = (usage.searches or 0) + (usage.fetches or 0) + (usage.code_runs or 0)
        return called > 0 and called > len(holds.calls_of(target, head)) * holds.most_calls(head)


def _refused(decision: Refused) -> GatewayError:
    headers = rate_limit_headers(decision.windows)
    retry = max(1.0, decision.retry_after_ms / 1000)
    match decision.reason:
        case "credits" | "unknown_account":
            return CreditsExhausted(
                needed=decision.needed,
                held=decision.held,
                available=decision.available,
                retry_after=retry if decision.retry_after_ms else None,
            )
        case "requests" | "tokens":
            return RateLimited(retry_after=retry, headers=headers)
        case "daily" | "monthly":
            return RateLimited(BUDGET_USED[decision.reason], retry_after=retry, headers=headers)
        case "superseded":
            return Superseded()
        case "restricted":
            return AccountRestricted()
        case "concurrency":
            return ConcurrencyLimited(retry_after=retry, headers=headers)
        case _:
            return MeteringUnavailable()
