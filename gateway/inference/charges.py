"""What a settled request costs: the price of each model request that it consists of.

Rules:

1. Each model request is priced separately: at the price of the model that it ran on and, for long contexts, by its own
   size. The sum is rounded up once.
2. If the request allowed other models (`NAMING`), the price is that of the model that answered. If an answer names
   another model of the catalog although the request did not allow it, the requested model's price is charged, and the
   record is marked.
3. If something has no price, or only a default, the record is marked as unpriced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from metering import pricing
from metering.pricing import Price
from metering.usage import COUNTS, PARTS, TOKEN_COUNTS, Report, Usage, Variant

NAMING = frozenset({"fallbacks", "models", "route"})
"""Top-level members by which a request allows other models to answer."""

PriceOf = Callable[[str], Price | None]


class Charges(NamedTuple):
    """What is owed for a request, in micro-credits, and for which counts; unknown has become 0 in them."""

    usage: Usage
    cost: int
    charge: int
    unpriced: bool


def charges(
    usage: Usage,
    report: Report,
    *,
    price: Price,
    variant: Variant,
    price_of: PriceOf,
    members: Iterable[str] = (),
    searches: bool = False,
) -> Charges:
    """Prices the settled counts of one request.

    Args:
        usage: The counts to charge, settled: those that the answering model stated, or an estimate.
        report: What the provider stated besides: other models, contexts, what has no price.
        price: Of the target that answered.
        variant: What was used, else what was asked for.
        price_of: The price of a model by its provider's name for it, ``None`` if it is unknown (`Catalog.price_of`).
        members: The request's top-level members.
        searches: The model searches the web for each request (`CatalogTarget.searches`).
    """
    unpriced = report.unpriced
    answering = price_of(report.model) if report.model is not None else None
    if answering is not None and answering != price:
        if NAMING.isdisjoint(members):
            unpriced = True
        else:
            price = answering
    if searches and not usage.searches:
        usage = replace(usage, searches=1)
    shares = [(price, usage)]
    if len(report.contexts) > 1:
        shares = [(price, part) for part in _by_context(usage, report.contexts)]
    for model, part in report.others:
        other = price_of(model)
        unpriced = unpriced or other is None
        shares.append((other or price, part))
        usage = _sum(usage, part)
    bill = pricing.bill(shares, variant)
    return Charges(usage, bill.cost, bill.charge, unpriced or not bill.complete)


def _by_context(usage: Usage, contexts: tuple[Usage, ...]) -> Iterator[Usage]:
    """The model requests that ``usage`` is the sum of, if they add up to it; calls have no context."""
    if any(getattr(usage, name) != sum(getattr(part, name) or 0 for part in contexts) for name in TOKEN_COUNTS):
        yield usage
        return
    yield from contexts
    yield replace(
        usage, **dict.fromkeys(TOKEN_COUNTS, 0), **{part: 0 for part, whole in PARTS.items() if whole in TOKEN_COUNTS}
    )


def _sum(left: Usage, right: Usage) -> Usage:
    return replace(left, **{name: (getattr(left, name) or 0) + (getattr(right, name) or 0) for name in COUNTS})
