"""What one request costs: the pure decision between a usage record and a void.

Rules:

1. A request that the provider failed costs nothing: `Ending.NOTHING`, `REFUSED` and `FAILED` are void.
2. Each side is judged separately. A side that the provider stated is settled as stated. A side that it did not state
   is estimated: unknown is not zero.
3. A whole answer of which both sides were stated, without a contradiction, is ``reported``; everything else is
   ``partial``.
4. An answer that is not whole has the larger of the output that was stated so far and the output that was counted; what
   is stated of the whole of it (`providers.dialect.Scanner.estimated_output`) counts as both.
5. Output of which text was delivered and that is stated as none, beside an input that is not, is not stated.
6. A request that was stopped before any provider may have worked on it is void. One that was stopped later has its
   input charged as stated, else at what is expected of it. (Before the response head that is forgiven within a
   budget: `gateway.inference.abandoned`.)
7. Unknown becomes 0 here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.config import AbortRule
from gateway.inference.answer import Answer, Ending
from gateway.inference.charges import PriceOf, charges
from gateway.inference.estimate import Expected
from metering import pricing
from metering.pricing import Price
from metering.usage import (
    COUNTS,
    INPUT_COUNTS,
    PARTS,
    STANDARD,
    Basis,
    Outcome,
    Report,
    Usage,
    UsageRecord,
    Variant,
)

_NOTHING = (0,) * len(COUNTS)
_FREE = (Ending.NOTHING, Ending.REFUSED, Ending.FAILED)
_TEXT = 16  # tokens that were delivered: no prompt is answered by so many and by none


class Settlement(msgspec.Struct, frozen=True):
    """What is charged.

    Attributes:
        usage: Counts, with unknown turned to zero.
        basis: Where they come from.
        stated: What the provider stated, with what bears on the price besides its counts.
        answered: The head of an answer had come.
    """

    usage: Usage
    basis: Basis
    stated: Report = Report()
    answered: bool = True


def settlement(answer: Answer, *, expected: Expected, reasoned: int = 0) -> Settlement | None:
    """What to settle, or ``None`` for a void.

    Args:
        answer: How the answer ended.
        expected: The input that the request probably has.
        reasoned: Tokens that were probably reasoned unseen before the first output; charged of a stream that was
            stopped before its provider stated the output.
    """
    if answer.ending in _FREE or not (answer.status or answer.written):
        return None
    report = answer.report
    usage = report.usage or Usage()
    input_stated = usage.in_uncached is not None
    whole = answer.ending is Ending.WHOLE
    delivered = (answer.begun or whole) and answer.output >= _TEXT
    silent = delivered and usage.input_tokens > 0 and not usage.output_tokens
    output_stated = usage.out_visible is not None and not silent
    counted = usage.settled()
    if not input_stated:
        counted.cache_read = max(counted.cache_read or 0, expected.cached)
        counted.audio_in = max(counted.audio_in or 0, expected.audio)
        counted.in_uncached = max(0, expected.tokens - counted.input_tokens)
        counted.video_in = min(expected.video, counted.in_uncached)
    if (answer.begun or whole) and not (whole and output_stated):
        missing = answer.output - counted.output_tokens
        if missing > 0:
            counted.out_visible = (counted.out_visible or 0) + missing
        if answer.ending is Ending.STOPPED and answer.begun and not output_stated:
            counted.out_reasoning = max(counted.out_reasoning or 0, reasoned)
    trusted = whole and input_stated and output_stated and not report.suspect
    basis = Basis.REPORTED if trusted else Basis.PARTIAL
    return Settlement(counted, basis, report, answer.status != 0)


def estimated(expected: Expected, output_tokens: int) -> Settlement:
    """What is known of a request that runs: the input that it probably has, and a count of the output."""
    usage = Usage(*_NOTHING)
    usage.in_uncached, usage.audio_in = expected.uncached - expected.audio, expected.audio
    usage.video_in, usage.cache_read, usage.out_visible = expected.video, expected.cached, output_tokens
    return Settlement(usage, Basis.ORPHAN)


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
    price_of: PriceOf,
    settled_ms: int,
    abort: AbortRule = AbortRule.PRODUCED,
    members: Iterable[str] = (),
    searches: bool = False,
) -> UsageRecord:
    """The usage record (design 4.2) with cost and charge in micro-credits.

    Args:
        identity: Who, what and when.
        settled: The counts.
        outcome: How it ended.
        price: The price row of the model.
        asked: The variant that the request asked for; the provider's own word goes first.
        price_of: The price row of a model that an answer names, by the provider's name for it (`charges`).
        settled_ms: Unix milliseconds.
        abort: What a cut answer charges; its cost is recorded in any case.
        members: The request's top-level members.
        searches: The model searches the web for each request.
    """
    variant = settled.stated.variant or asked
    owed = charges(
        settled.usage,
        settled.stated,
        price=price,
        variant=variant,
        price_of=price_of,
        members=members,
        searches=searches and settled.answered,
    )
    usage, charge = owed.usage, owed.charge
    if outcome is not Outcome.COMPLETED and abort is not AbortRule.PRODUCED:
        charge = 0 if abort is AbortRule.NOTHING else pricing.bill(((price, _input_of(usage)),), variant).charge
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
        cost=owed.cost,
        charge=charge,
        basis=settled.basis._value_,
        outcome=outcome._value_,
        price_version=identity.price_version,
        unpriced=int(owed.unpriced),
    )


def _input_of(usage: Usage) -> Usage:
    kept = {*INPUT_COUNTS, *(part for part, whole in PARTS.items() if whole in INPUT_COUNTS)}
    return Usage(**{name: getattr(usage, name) if name in kept else 0 for name in (*COUNTS, *PARTS)})
