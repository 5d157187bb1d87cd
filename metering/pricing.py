"""What usage costs: integer rates, one division a charge, rounded up.

Rules that everything here obeys:

1. Money is integer micro-credits. A rate is micro-credits per million units of one count of
   `metering.usage.COUNTS`: tokens, or calls for ``searches``, ``fetches`` and ``code_runs``.
2. Every token count has a rate once a `Price` is built, because the fall-backs are resolved then
   and not per request. A tool count without a stated row has none: what it counts must be refused
   before the provider is called, never given away.
3. A price never changes after it was built. Whoever reserves keeps the object and settles with it,
   so that a dated change does not re-price what was reserved before.

Fall-backs, where a row does not state a count: ``cache_read``, ``tool_in``, ``audio_in`` and
``image_in`` cost ``input``; the cache writes cost ``cache_write`` and that costs ``input`` (an hour's
cache write is dearer at some providers, but only a stated row may say so); ``out_reasoning``,
``audio_out`` and ``image_out`` cost ``output``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import TypeAlias

from metering.usage import (
    COUNTS,
    INPUT_COUNTS,
    OUTPUT_COUNTS,
    STANDARD,
    Geography,
    ServiceTier,
    Speed,
    Usage,
    Variant,
    counts_of,
)

MICRO_CREDITS = 1_000_000  # in one credit
MILLION = 1_000_000  # units that a rate is stated for
BYTES_PER_TOKEN_MILLI = 4_000  # of request bodies in JSON, until a model's own ratio is learnt
INPUT_OVERHEAD = 32  # tokens that providers add around the messages
USD_CEILING = Decimal(1_000_000)  # per million units: above it is a slip of the pen

# USD per million units by price key, as steps: ((0, base), (start, price), ...), ascending. A step
# applies to all units of a request whose input tokens are above its start, not only to the excess.
Steps: TypeAlias = tuple[tuple[int, Decimal], ...]
Row: TypeAlias = Mapping[str, Steps]
Rates: TypeAlias = tuple[int | None, ...]  # aligned with COUNTS; None is no row

TOOL_COUNTS = ("searches", "fetches", "code_runs")  # the last of COUNTS
FALLBACKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "in_uncached": ("input",),
        "cache_read": ("cache_read", "input"),
        "cache_write_5m": ("cache_write_5m", "cache_write", "input"),
        "cache_write_1h": ("cache_write_1h", "cache_write", "input"),
        "cache_write_other": ("cache_write_other", "cache_write", "input"),
        "tool_in": ("tool_in", "input"),
        "audio_in": ("audio_in", "input"),
        "image_in": ("image_in", "input"),
        "out_visible": ("output",),
        "out_reasoning": ("out_reasoning", "output"),
        "audio_out": ("audio_out", "output"),
        "image_out": ("image_out", "output"),
        "searches": ("searches",),
        "fetches": ("fetches",),
        "code_runs": ("code_runs",),
    }
)
PRICE_KEYS = frozenset(key for chain in FALLBACKS.values() for key in chain)

_SLOT = {name: index for index, name in enumerate(COUNTS)}
_ONE = Fraction(1)
_FIRST_CALL = _SLOT[TOOL_COUNTS[0]]


class PriceError(ValueError):
    """A row that cannot be priced with. ``key`` is the price key at fault; the text says the mend."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, slots=True)
class Schedule:
    """Rates by size of the input: ``above`` holds (input tokens, rates), ascending."""

    base: Rates
    above: tuple[tuple[int, Rates], ...] = ()

    def of(self, usage: Usage) -> Rates:
        """The rates that ``usage`` is billed at."""
        return self.at(usage.input_tokens) if self.above else self.base

    def at(self, input_tokens: int) -> Rates:
        rates = self.base
        for start, dearer in self.above:
            if input_tokens <= start:
                break
            rates = dearer
        return rates


@dataclass(frozen=True, slots=True)
class Price:
    """What one model at one provider costs.

    Attributes:
        version: The closed name of the price list, for the usage record.
        standard: The rates of the standard variant.
        variants: ``str(Variant)`` -> own rates, or a multiplier on the standard ones.
        markup: What the user pays as a multiple of the provider's price.
    """

    version: str
    standard: Schedule
    variants: Mapping[str, Schedule | Fraction]
    markup: Fraction = _ONE


def build(
    row: Row,
    variants: Mapping[str, Row | Fraction],
    *,
    credit_usd: Decimal,
    markup: Fraction = _ONE,
    version: str,
) -> Price:
    """A `Price` from stated USD prices. A variant's row states only what differs from ``row``.

    Raises:
        PriceError: A key is unknown, ``input`` or ``output`` is missing, or a number is not a price.
    """
    resolved: dict[str, Schedule | Fraction] = {}
    for name, stated in variants.items():
        if isinstance(stated, Fraction):
            resolved[name] = stated
        else:
            resolved[name] = _schedule({**row, **stated}, credit_usd)
    return Price(version, _schedule(row, credit_usd), resolved, _ONE if markup == 1 else markup)


def _schedule(row: Row, credit_usd: Decimal) -> Schedule:
    for key in row:
        if key not in PRICE_KEYS:
            raise PriceError(key, "is not a price; use one of " + ", ".join(sorted(PRICE_KEYS)))
    for key in ("input", "output"):
        if key not in row:
            raise PriceError(key, "is missing; state it in USD per million tokens")
    starts = sorted({start for steps in row.values() for start, _ in steps})
    tables = [(start, _rates(row, start, credit_usd)) for start in starts]
    if not tables or tables[0][0] != 0:
        raise PriceError("input", "has no price for short requests; state one")
    return Schedule(tables[0][1], tuple(tables[1:]))


def _rates(row: Row, start: int, credit_usd: Decimal) -> Rates:
    rates: list[int | None] = []
    for name in COUNTS:
        key = next((key for key in FALLBACKS[name] if key in row), None)
        if key is None:
            rates.append(None)
            continue
        usd = [price for floor, price in row[key] if floor <= start]
        if not usd:
            raise PriceError(key, "has no price for short requests; state one")
        rates.append(_micro_credits(key, usd[-1], credit_usd))
    return tuple(rates)


def _micro_credits(key: str, usd: Decimal, credit_usd: Decimal) -> int:
    if not usd.is_finite() or not 0 <= usd <= USD_CEILING:
        raise PriceError(key, f"is out of range; write USD per million from 0 to {USD_CEILING}")
    return int((usd / credit_usd * MICRO_CREDITS).to_integral_value(ROUND_CEILING))


def priced(price: Price, variant: Variant) -> bool:
    """Whether a request that asks for ``variant`` may be served: it has a row, or each part has."""
    return _select(price, variant)[2]


def prices_calls(price: Price, count: str) -> bool:
    """Whether ``searches``, ``fetches`` or ``code_runs`` has a row (zero is a row) at this model."""
    return price.standard.base[_SLOT[count]] is not None


def _select(price: Price, variant: Variant) -> tuple[Schedule, Fraction, bool]:
    """Rates, multiplier, and whether every part of the variant has a row.

    A provider may report a part that nobody priced (a tier that did not exist when the prices were
    stated): its request has been served, so it costs what the rest of the variant costs.
    """
    if variant is STANDARD or variant == STANDARD:
        return price.standard, _ONE, True
    name = str(variant)
    whole = price.variants.get(name)
    if isinstance(whole, Schedule):
        return whole, _ONE, True
    if whole is not None:
        return price.standard, whole, True
    schedule, factor, complete = price.standard, _ONE, True
    for part in _parts(variant):
        row = price.variants.get(str(part))
        if isinstance(row, Fraction):
            factor *= row
        elif row is not None and schedule is price.standard:
            schedule = row
        else:  # no row, or two parts with rates of their own, whose product nobody stated
            complete = False
    return schedule, factor, complete


def _parts(variant: Variant) -> Iterable[Variant]:
    if variant.tier is not ServiceTier.STANDARD:
        yield Variant(tier=variant.tier)
    if variant.speed is not Speed.NORMAL:
        yield Variant(speed=variant.speed)
    if variant.geography is not Geography.GLOBAL:
        yield Variant(geography=variant.geography)


def _units(rates: Rates, usage: Usage) -> tuple[int, int]:
    """Rates times counts: of tokens, and of calls."""
    tokens = calls = 0
    for slot, count in enumerate(counts_of(usage)):
        if count and (rate := rates[slot]):
            if slot < _FIRST_CALL:
                tokens += count * rate
            else:
                calls += count * rate
    return tokens, calls


def _amount(tokens: int, calls: int, factor: Fraction, markup: Fraction) -> int:
    """Units with the multipliers, in one division. A variant's multiplier is one on tokens: a search
    costs the same in every service tier.
    """
    if factor is _ONE and markup is _ONE:
        return -(-(tokens + calls) // MILLION)
    total = (tokens * factor.numerator + calls * factor.denominator) * markup.numerator
    return -(-total // (MILLION * factor.denominator * markup.denominator))


def amounts(price: Price, usage: Usage, variant: Variant) -> tuple[int, int]:
    """What the provider asks for ``usage`` and what the user pays for it (with the markup), each in
    micro-credits, rounded up.
    """
    schedule, factor, _ = _select(price, variant)
    tokens, calls = _units(schedule.of(usage), usage)
    cost = _amount(tokens, calls, factor, _ONE)
    return cost, cost if price.markup is _ONE else _amount(tokens, calls, factor, price.markup)


def cost(price: Price, usage: Usage, variant: Variant) -> int:
    """What the provider asks for ``usage``, in micro-credits, rounded up."""
    return amounts(price, usage, variant)[0]


def charge(price: Price, usage: Usage, variant: Variant) -> int:
    """What the user pays for ``usage``, in micro-credits, rounded up: the cost with the markup."""
    return amounts(price, usage, variant)[1]


def estimate_input(
    body_bytes: int,
    *,
    bytes_per_token_milli: int = BYTES_PER_TOKEN_MILLI,
    ceiling: int | None = None,
) -> int:
    """Input tokens expected from a request body of so many bytes.

    ``bytes_per_token_milli`` is the model's learnt ratio in thousandths; ``ceiling`` is its context
    window, which an image in base64 would otherwise pass many times over.
    """
    tokens = -(-body_bytes * 1_000 // bytes_per_token_milli) + INPUT_OVERHEAD
    return tokens if ceiling is None else min(tokens, ceiling)


def hold(
    price: Price,
    variant: Variant,
    *,
    input_tokens: int,
    output_tokens: int,
    choices: int = 1,
    calls: Iterable[str] = (),
    worst: bool = False,
) -> int:
    """Micro-credits to hold before a request is sent: what the user would pay for the estimate.

    Args:
        price: The target's price.
        variant: What the request asks for.
        input_tokens: From `estimate_input`.
        output_tokens: The bound for one choice: the request's limit or the learnt one.
        choices: How many answers are asked for at once.
        calls: Tool counts that the request switches on; one call of each is held.
        worst: Take the dearest rate that the tokens could be billed at (audio, an hour's cache
            write), not the usual one of text.
    """
    schedule, factor, _ = _select(price, variant)
    rates = schedule.at(input_tokens)
    usage = Usage(**dict.fromkeys(calls, 1))
    setattr(usage, _dearest(rates, INPUT_COUNTS if worst else ("in_uncached",)), input_tokens)
    outputs = OUTPUT_COUNTS if worst else ("out_visible", "out_reasoning")
    setattr(usage, _dearest(rates, outputs), output_tokens * choices)
    return _amount(*_units(rates, usage), factor, price.markup)


def _dearest(rates: Rates, names: Iterable[str]) -> str:
    return max(names, key=lambda name: rates[_SLOT[name]] or 0)
