"""The billing of one request: holds credit before the provider is called, and releases or settles it once afterwards.

Rules:

1. `reserve` comes before any byte is sent to a provider. When it returns, there is a hold, and an intent in the spool
   that survives this process. If it raises, nothing is held.
2. `decide` chooses once between a record and a void; later calls return the same. `settle` hands that over
   synchronously, so that it can be used in a ``finally`` during a cancellation.
3. A bug in the gateway never loses a hold: if the outcome cannot be decided, the hold is released.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import msgspec

from gateway.auth.principal import Principal
from gateway.catalog.catalog import Catalog, CatalogTarget, Model
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
from gateway.inference.belief import TOLERANCE
from gateway.inference.lanes import Taken
from gateway.inference.leases import LEASE_MS
from gateway.inference.running import Cancellation
from gateway.inference.services import Books
from gateway.names import Rid
from gateway.telemetry.instruments import Instruments
from metering.clock import now_ms
from metering.ledger.ledger import (
    LedgerConflict,
    LedgerUnavailable,
    Refused,
    Reservation,
    Reserved,
    Standing,
    Touch,
    Touched,
    Window,
)
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


class Metered(Protocol):
    """What knows how far a request has come (`gateway.inference.forwarding.Forwarding`)."""

    def progress(self) -> tuple[CatalogTarget, int]:
        """Where it is now, and how many output tokens it has had by estimate."""
        ...

    def at_output(self, tokens: int, call: Callable[[], None]) -> None:
        """Have ``call`` called once, when more than ``tokens`` more have come by estimate."""
        ...


class Meter:
    """One request's money.

    Attributes:
        reserved: The ledger's answer, once there is a hold.
        output_limit: The output limit of one choice that must be sent to the provider instead of the request's
            own, because the credit pays for no more; ``None``: the request's own.
        decided: Whether `decide` has chosen.
        record: The settlement that was decided, or ``None`` for a void.
        beyond: The same without the bound of what was granted, if it is more and the ledger may grant that (`cover`).
    """

    __slots__ = (
        "_admission",
        "_admissions",
        "_asked_output",
        "_books",
        "_cancellation",
        "_catalog",
        "_granted",
        "_held_output",
        "_ignored",
        "_instruments",
        "_most_output",
        "_principal",
        "_request",
        "_rid",
        "_started_ms",
        "_unseen_ms",
        "_whole",
        "beyond",
        "decided",
        "output_limit",
        "record",
        "reserved",
    )

    def __init__(
        self,
        books: Books,
        instruments: Instruments,
        catalog: Catalog,
        *,
        rid: Rid,
        principal: Principal,
        admissions: Sequence[Admission],
    ) -> None:
        """Nothing is held yet.

        Args:
            books: The worker's.
            instruments: The worker's.
            catalog: By which the request was admitted: a dated change of prices leaves it alone.
            rid: The request.
            principal: Who pays.
            admissions: What was decided about the request in each dialect in which it may be sent, the preferred one
                first: what is held is enough for each.
        """
        self._books = books
        self._instruments = instruments
        self._rid = rid
        self._principal = principal
        self._admissions = admissions
        self._admission = admission = admissions[0]  # where it is
        self._catalog = catalog
        self._started_ms = now_ms()
        self.decided = False
        self.beyond: UsageRecord | None = None
        self._whole: tuple[Answer, Usage, CatalogTarget] | None = None  # to learn from
        self._held_output = self._asked_output = admission.output_tokens  # of one choice
        self._most_output = admission.most_output
        self._ignored = False  # the host ignores the limit
        self._granted = 0  # micro-credits that it may cost at most; what touches raise is in it
        self._unseen_ms = 0  # after which there was no output that could be seen
        self.output_limit: int | None = None
        self._request: Metered | None = None
        self._cancellation: Cancellation | None = None
        self.reserved: Reserved | None = None
        self.record: UsageRecord | None = None

    async def reserve(
        self,
        request: Metered,
        cancellation: Cancellation,
        lane: Taken | None = None,
        *,
        meanwhile: Callable[[], None] | None = None,
    ) -> int:
        """Take the hold, the lease, the rate and, if there is one, the autocomplete lane in one call; then note in
        the spool that the request is about to go. Returns the micro-credits that it may cost.

        The caller must call `settle` once this has returned, and only then.

        Args:
            request: How far it has come, for touches of its lease.
            cancellation: Ends it if its credit does not last.
            lane: Its autocomplete lane.
            meanwhile: Called once the call has left, unless there is an answer already. It must need no hold.

        Raises:
            CreditsExhausted, RateLimited, ConcurrencyLimited, Superseded, AccountRestricted: The ledger refuses.
            MeteringUnavailable: It does not answer (should it have run, it is voided), or the spool takes no more.
        """
        books, admitted, principal = self._books, self._admission, self._principal
        if books.spool.full:
            raise MeteringUnavailable
        reservation = Reservation(
            rid=self._rid,
            pid=principal.pid,
            amount=max(each.amount for each in self._admissions),
            tokens=max(each.tokens for each in self._admissions),
            lease_ms=LEASE_MS,
            limits=books.limits.of(principal.tiers or (principal.tier,)),
            orphan=self._orphan(admitted.targets[0], 0),
            lane="" if lane is None else lane.name,
            worst=max(each.worst for each in self._admissions),
            least=admitted.least,
        )
        loop = asyncio.get_running_loop()
        clock, began = loop.time, loop.time()
        ahead = None if meanwhile is None else loop.call_soon(meanwhile)
        try:
            call = books.ledger.reserve(reservation)
            decision = await (call if lane is None else lane.reserve(call))
            self._instruments.reserve.observe(clock() - began)
            if isinstance(decision, Refused):
                raise _refused(decision)
            await books.spool.intent(principal.pid, self._rid, alone=not books.ledger.reserving)
        except LedgerUnavailable as error:
            if error.maybe_ran:
                books.settler.void(principal.pid, self._rid)
            raise MeteringUnavailable from None
        except LedgerConflict:
            raise MeteringUnavailable from None
        except SpoolFull:
            books.settler.void(principal.pid, self._rid)
            raise MeteringUnavailable from None
        except asyncio.CancelledError:
            books.settler.void(principal.pid, self._rid)
            raise
        finally:
            if ahead is not None:
                ahead.cancel()
        self.reserved = decision
        self._granted = decision.most
        self.move(admitted)
        self._request, self._cancellation = request, cancellation
        books.leases.begin(self, cancellation)
        return decision.most

    def move(self, admission: Admission) -> int | None:
        """The request goes on as this admission has it: `output_limit` there. Only before any output."""
        self._admission = admission
        self._held_output = self._asked_output = admission.output_tokens
        self._most_output = admission.most_output
        self.output_limit = None
        if self._granted < admission.worst:
            self.cap(admission.limit(self._granted))
        return self.output_limit

    def cap(self, limit: int) -> None:
        """The credit pays ``limit`` tokens of each choice and no more; they are held."""
        self.output_limit = self._held_output = self._asked_output = self._most_output = limit

    @property
    def windows(self) -> tuple[Window, ...]:
        """The caller's limits as the reserve left them."""
        return self.reserved.windows if self.reserved is not None else ()

    def touch(self) -> Touch:
        """The touch of a running request: its checkpoint, and a larger hold if it needs one."""
        request, admitted = self._request, self._admission
        assert request is not None
        target, output = request.progress()
        amount = 0
        if admitted.billed and (needed := self._needed(output)) > self._held_output:
            self._asked_output = needed
            amount = min(admitted.costs.usual(needed), self._granted)
            if needed > self._most_output:
                amount = max(admitted.costs.worst(needed), amount)
        return Touch(self._principal.pid, self._rid, LEASE_MS, amount, self._orphan(target, output), self._granted)

    def _needed(self, output: int) -> int:
        """Output tokens of one choice to hold, if ``output`` of all choices were seen so far: what was seen, with half
        again, since estimates are low rather than high; and what may have been produced unseen, by the time that it
        took: reasoning, or an answer that is not streamed. It passes the longest answer only if far more was seen
        (`most_seen`): then that was not known, or the host ignores its limit.
        """
        admitted = self._admission
        if not output:
            self._unseen_ms = now_ms() - self._started_ms
        speed = self._books.learning.reasoning_speed(admitted.model.name)
        unseen = self._unseen_ms * (UNSEEN_SPEED if speed is None else 2 * speed) // 1_000
        seen = -(-output // admitted.head.choices)
        if output > self.most_seen:
            return seen + max(MORE_OUTPUT, seen // 8)
        needed = -(-seen * 3 // 2) + unseen
        return min(needed + MORE_OUTPUT, self._most_output) if needed > self._held_output else needed

    @property
    def most_seen(self) -> int:
        """Output tokens, of all choices, that an answer within its limit is never estimated at: `TOLERANCE` times the
        longest, since an odd text has several times the tokens that were expected of it, and `MORE_OUTPUT` for each.
        What is seen beyond it was produced in spite of the limit, and from then on there is no tolerance.
        """
        choices = self._admission.head.choices
        return self._most_output * choices if self._ignored else (self._most_output * TOLERANCE + MORE_OUTPUT) * choices

    def _beyond_lowered(self) -> CreditsExhausted | None:
        """Why the gateway ends an answer that exceeds a lowered limit: it has all the credit that was left."""
        if self.output_limit is None:
            return None
        return CreditsExhausted(needed=self._admission.least, held=self._granted, available=0)

    def granted(self, standing: Standing) -> None:
        """What the ledger says to the last `touch`."""
        self._granted = max(self._granted, standing.most)
        if standing.touched is not Touched.HELD:
            return
        self._held_output = self._asked_output
        if self._held_output > self._most_output:
            self._most_output, self._ignored = self._held_output, True
        self.watch()

    def watch(self) -> None:
        """Look at the credit as soon as more has come than an answer within its limit can have."""
        request = self._request
        if request is not None and self._admission.billed:
            request.at_output(max(MORE_OUTPUT, self.most_seen - request.progress()[1]), self._hurry)

    def _hurry(self) -> None:
        """Called inside a read of the answer: nothing is asked of it, and it is not ended, before the read returns."""
        asyncio.get_running_loop().call_soon(self._outgrown)

    def _outgrown(self) -> None:
        request, error = self._request, self._beyond_lowered()
        if request is None:
            return
        if error is None or self._cancellation is None:
            self._books.leases.hurry(self)
        elif request.progress()[1] > self.most_seen:
            self._cancellation.stop(error, Outcome.CREDITS_EXHAUSTED)
        else:  # its provider states less than was counted
            self.watch()

    def decide(self, answer: Answer, stopped: Outcome | None, target: CatalogTarget) -> None:
        """Choose between a record and a void; the first call decides for all later ones.

        Args:
            answer: How the answer ended.
            stopped: Why it was stopped, as `Answer.outcome` takes it.
            target: Who answered.
        """
        if self.decided or not self._admission.billed:
            return
        self.decided = True
        reasoned = self._reasoned(answer, target) if answer.ending is Ending.STOPPED else 0
        settled = accounting.settlement(answer, expected=self._admission.input.expected, reasoned=reasoned)
        if settled is None:
            return
        outcome = answer.outcome(stopped)
        record = self._record(settled, outcome, target)
        if self._exceeds(settled.usage, target):
            self._instruments.limits_ignored.inc(target.provider.name)
            granted = self._within_grant(record)
            if granted is not record and self.output_limit is None:
                self.beyond = record
            record = granted
        if not answer.status and answer.ending is Ending.STOPPED and self._forgiven(record):
            return
        self.record = record
        if settled.basis is Basis.REPORTED and outcome is Outcome.COMPLETED:
            self._whole = answer, settled.usage, target

    async def cover(self) -> None:
        """Ask the ledger for what the answer costs beyond what was granted, since its host ignored the request's own
        limit. Call it after `decide`, where there is time: without it, or if the ledger has no more, the charge is what
        was granted. Raises nothing.
        """
        beyond = self.beyond
        if beyond is None:
            return
        touch = Touch(self._principal.pid, self._rid, LEASE_MS, beyond.charge, None, self._granted)
        (standing,) = await self._books.ledger.touch_each([touch])
        if standing is not None:
            self._granted = max(self._granted, standing.most)
            self.record = self._within_grant(beyond)

    def _forgiven(self, record: UsageRecord) -> bool:
        """Nothing is charged for a request that was left before its response head, and so it counts as one that nobody
        pays for, unless a newer keystroke took its place. If the gateway itself ended it, it does not count against the
        account.
        """
        if record.outcome == Outcome.DRAINED:
            return True
        if not self._books.abandoned.forgives(self._principal.pid, record.charge):
            return False
        if record.outcome in {Outcome.CLIENT_ABORT, Outcome.UPSTREAM_TIMEOUT}:
            self._books.unpaid.add(self._principal.pid)
        return True

    def _reasoned(self, answer: Answer, target: CatalogTarget) -> int:
        """Tokens that were probably reasoned unseen, within the request's own limit."""
        admitted = self._admission
        if not (answer.begun and answer.waited_ms and estimate.thinks_unseen(target, admitted.head.weight)):
            return 0
        tokens = estimate.reasoning(answer.waited_ms, self._books.learning.reasoning_speed(admitted.model.name))
        limit = admitted.head.output_limit if self.output_limit is None else self.output_limit
        return tokens if limit is None else min(tokens, max(0, limit * admitted.head.choices - answer.output))

    def _learn(self, answer: Answer, usage: Usage, target: CatalogTarget) -> None:
        """Take note of a whole answer with the provider's own counts."""
        admitted, learning, pid = self._admission, self._books.learning, self._principal.pid
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

    def settle(self) -> None:
        """Hand over what was decided; what was not, is void. Call once, at the end."""
        if self.record is None:
            self._books.settler.void(self._principal.pid, self._rid)
        else:
            self._books.settler.submit(self.record)
        self._books.leases.end(self)
        self._request = None
        if self._whole is not None:
            self._learn(*self._whole)

    def _orphan(self, target: CatalogTarget, output: int) -> UsageRecord | None:
        """What the reaper charges if this process dies now; ``None`` for an operation that is not billed."""
        if not self._admission.billed:
            return None
        settled = accounting.estimated(self._admission.input.expected, output)
        record = self._record(settled, Outcome.LOST, target)
        return self._within_grant(record) if self._exceeds(settled.usage, target) else record

    def _within_grant(self, record: UsageRecord) -> UsageRecord:
        """What is owed for an answer beyond its limit: no more than the ledger granted, and beyond a limit that was
        lowered, no more than it granted at first (decision 024).
        """
        if self.reserved is None:
            return record
        most = self._granted if self.output_limit is None else self.reserved.most
        return record if record.charge <= most else msgspec.structs.replace(record, charge=most)

    def _record(self, settled: accounting.Settlement, outcome: Outcome, target: CatalogTarget) -> UsageRecord:
        """What the counts cost, whatever was granted."""
        admitted, provider = self._admission, target.provider.name
        model, stated = admitted.model, settled.stated.model
        if admitted.further and stated is not None:
            model = self._further(provider, stated) or model
        return accounting.record(
            accounting.Identity(
                self._rid,
                self._principal.pid,
                provider,
                model.name,
                self._started_ms,
                target.price.version,
            ),
            settled,
            outcome,
            price=target.price,
            asked=admitted.head.variant,
            price_of=partial(self._catalog.price_of, target),
            settled_ms=now_ms(),
            abort=self._books.abort,
            members=admitted.head.members,
            searches=target.searches,
        )

    def _further(self, provider: str, stated: str) -> Model | None:
        """The further model that the request named and the answer states, if it is one."""
        for model in self._admission.further.values():
            served = at_provider(model, provider)
            if served is not None and (stated == served.model or is_snapshot(stated, (served.model,))):
                return model
        return None

    def _exceeds(self, usage: Usage, target: CatalogTarget) -> bool:
        """The provider produced more than the limit that it was sent or the longest answer that was held for, or called
        its tools more often.
        """
        head = self._admission.head
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
