"""What one exchange costs: the pure decision between a usage record and a void.

Rules (design 4.4):

1. A request that no provider may have worked on is void: nothing is charged.
2. A provider's failure before the first byte of a good answer is void. What was cut before its caller had any of it
   never was a good answer.
3. A complete answer is settled from the provider's own count (``reported``); where a complete answer
   states none, from what was counted here (``partial``).
4. A cut answer is settled from what was reported and counted so far (``partial``). Input that was
   never reported is charged at the reserve's estimate once the request was written.
5. Unknown becomes 0 here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.config import AbortRule
from metering import pricing
from metering.pricing import Price
from metering.usage import (
    COUNTS,
    INPUT_COUNTS,
    STANDARD,
    Basis,
    Outcome,
    Report,
    Usage,
    UsageRecord,
    Variant,
)
from providers.dialect import Scanner

_NOTHING = (0,) * len(COUNTS)


class Ended(msgspec.Struct, frozen=True):
    """The facts of an exchange that has ended.

    Attributes:
        answered: A good answer has begun (`Forwarding.good`).
        complete: The answer ended as its dialect ends.
        written: The whole request went to the provider.
        provider_failed: The attempt ended by the provider's doing (not the client's or ours).
        report: What the provider stated.
        input_estimate: Tokens, the reserve's estimate of the input.
        output_estimate: Tokens, counted here from the bytes that passed.
        outcome: How it ended.
    """

    answered: bool
    complete: bool
    written: bool
    provider_failed: bool
    report: Report
    input_estimate: int
    output_estimate: int
    outcome: Outcome


def output_of(scanner: Scanner) -> int:
    """Output tokens so far: what the provider states, else the estimate."""
    usage = scanner.report().usage
    if usage is not None and usage.out_visible is not None:
        return usage.output_tokens
    return scanner.estimated_output()


class Settlement(msgspec.Struct, frozen=True):
    """Counts with unknown turned to zero, and where they come from."""

    usage: Usage
    variant: Variant | None
    basis: Basis
    others: tuple[tuple[str, Usage], ...] = ()


def outcome_of(ended: Ended) -> Outcome:
    """How the record says that it ended: a client that closed after everything had come aborted nothing."""
    if ended.outcome is Outcome.CLIENT_ABORT and ended.complete:
        return Outcome.COMPLETED
    return ended.outcome


def settlement(ended: Ended) -> Settlement | None:
    """What to settle, or ``None`` for a void."""
    report = ended.report
    if not ended.answered:
        if not ended.written or ended.provider_failed:
            return None
        return Settlement(Usage(in_uncached=ended.input_estimate).settled(), None, Basis.PARTIAL)
    usage = report.usage
    if ended.complete and usage is not None:
        return Settlement(usage.settled(), report.variant, Basis.REPORTED, report.others)
    if usage is None:
        usage = Usage()
    counted = usage.settled()
    if usage.in_uncached is None and not usage.input_tokens:
        counted.in_uncached = ended.input_estimate
    missing = ended.output_estimate - counted.output_tokens
    if missing > 0:
        counted.out_visible = (counted.out_visible or 0) + missing
    return Settlement(counted, report.variant, Basis.PARTIAL, report.others)


def estimated(input_tokens: int, output_tokens: int) -> Settlement:
    """What is known of a request in its midst: the reserve's estimate of the input, and a count of the output."""
    return Settlement(_estimate(input_tokens, output_tokens), None, Basis.ORPHAN)


class Identity(msgspec.Struct, frozen=True):
    """The closed identifiers of a record."""

    rid: str
    pid: str
    provider: str
    model: str
    started_ms: int
    price_version: str


def record(
    identity: Identity,
    settled: Settlement,
    outcome: Outcome,
    *,
    price: Price,
    asked: Variant,
    price_of: Callable[[str], Price | None],
    settled_ms: int,
    abort: AbortRule = AbortRule.PRODUCED,
) -> UsageRecord:
    """The usage record (design 4.2) with cost and charge in micro-credits.

    Args:
        identity: Who, what and when.
        settled: The counts.
        outcome: How it ended.
        price: The price row of the model.
        asked: The variant that the request asked for; the provider's own word goes first.
        price_of: The price row of another model that worked on the same request, by the provider's
            name for it; where there is none, the request's own row is used.
        settled_ms: Unix milliseconds.
        abort: What a cut answer charges; its cost is recorded all the same.
    """
    variant = settled.variant or asked
    usage = settled.usage
    cost, charge = pricing.amounts(price, usage, variant)
    for model, part in settled.others:
        row = price_of(model) or price
        part_settled = part.settled()
        more_cost, more_charge = pricing.amounts(row, part_settled, variant)
        cost, charge = cost + more_cost, charge + more_charge
        usage = _sum(usage, part_settled)
    if outcome is not Outcome.COMPLETED and abort is not AbortRule.PRODUCED:
        charge = 0 if abort is AbortRule.NOTHING else pricing.charge(price, _input_of(usage), variant)
    # Each field by its name: built from a mapping it costs twice as much, and a request builds two of them.
    counts: Any = usage  # settled: no count is None
    return UsageRecord(
        rid=identity.rid,
        rev=1,
        pid=identity.pid,
        provider=identity.provider,
        model=identity.model,
        variant="standard" if variant is STANDARD else str(variant),
        started_ms=identity.started_ms,
        settled_ms=settled_ms,
        in_uncached=counts.in_uncached,
        cache_read=counts.cache_read,
        cache_write_5m=counts.cache_write_5m,
        cache_write_1h=counts.cache_write_1h,
        cache_write_other=counts.cache_write_other,
        tool_in=counts.tool_in,
        audio_in=counts.audio_in,
        image_in=counts.image_in,
        out_visible=counts.out_visible,
        out_reasoning=counts.out_reasoning,
        audio_out=counts.audio_out,
        image_out=counts.image_out,
        searches=counts.searches,
        fetches=counts.fetches,
        code_runs=counts.code_runs,
        cost=cost,
        charge=charge,
        basis=settled.basis.value,
        outcome=outcome.value,
        price_version=identity.price_version,
    )


def _estimate(input_tokens: int, output_tokens: int) -> Usage:
    usage = Usage(*_NOTHING)
    usage.in_uncached, usage.out_visible = input_tokens, output_tokens
    return usage


def _input_of(usage: Usage) -> Usage:
    return Usage(**{name: getattr(usage, name) if name in INPUT_COUNTS else 0 for name in COUNTS})


def _sum(left: Usage, right: Usage) -> Usage:
    return Usage(**{name: getattr(left, name) + getattr(right, name) for name in COUNTS})
