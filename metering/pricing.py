"""What usage costs: integer rates, one division a charge, rounded up.

Rules that everything here obeys:

1. Money is integer micro-credits. A rate is micro-credits per million units of one count of
   `metering.usage.COUNTS` or of a part of one (`PARTS`): tokens, or calls for ``searches``, ``fetches`` and
   ``code_runs``.
2. Every token count has a rate once a `Price` is built, because the fall-backs are resolved then
   and not per request. A tool count without a stated price has no rate: a request that could use the tool must be
   refused before the provider is called, and is never served for free.
3. A price never changes after it was built. A request is settled with the object that it was reserved with,
   so that a dated price change does not change its price.
4. A price that no row states is always reported. A count that is billed at a neighbour's price (`NEIGHBOURS`), without
   a price, or in a variant without a row makes the `Bill` incomplete.
5. A long-context step looks at the context of one model request, never at the sum of several.

Fall-backs, if a row does not state a count: ``cache_read``, ``tool_in``, ``image_in`` and ``video_in`` cost
``input``, and ``out_reasoning`` costs ``output``: providers ask no more for them unless their lists say so. Cached
audio costs ``audio_in``. The others are neighbours: audio costs ``input`` or ``output``, image output costs ``output``,
a cache write costs ``cache_write`` or ``input``, a search in files, on maps or by a preview tool costs ``searches``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from metering.usage import (
    COUNTS,
    INPUT_COUNTS,
    MICRO_CREDITS,
    OUTPUT_COUNTS,
    PARTS,
    STANDARD,
    TOOL_COUNTS,
    Geography,
    ServiceTier,
    Speed,
    Usage,
    Variant,
    counts_of,
    parts_of,
)

MILLION = 1_000_000  # units that a rate is stated for
USD_CEILING = Decimal(1_000_000)  # per million units: a higher number is a typing error

# USD per million units by price key, as steps: ((0, base), (start, price), ...), ascending. A step
# applies to all units of a request whose input tokens are above its start, not only to the excess.
Steps: TypeAlias = tuple[tuple[int, Decimal], ...]
Row: TypeAlias = Mapping[str, Steps]
Rates: TypeAlias = tuple[int | None, ...]  # aligned with PRICED; None is no row

PRICED = (*COUNTS, *PARTS)
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
        "cache_read_audio": ("cache_read_audio", "audio_in", "cache_read", "input"),
        "video_in": ("video_in", "input"),
        "preview_searches": ("preview_searches", "searches"),
        "file_searches": ("file_searches", "searches"),
        "map_searches": ("map_searches", "searches"),
    }
)
"""What each of `PRICED` costs: the first of these keys that the row states."""
NEIGHBOURS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "cache_write_5m": frozenset({"input"}),
        "cache_write_1h": frozenset({"cache_write", "input"}),
        "cache_write_other": frozenset({"input"}),
        "audio_in": frozenset({"input"}),
        "audio_out": frozenset({"output"}),
        "image_out": frozenset({"output"}),
        "cache_read_audio": frozenset({"cache_read", "input"}),
        "preview_searches": frozenset({"searches"}),
        "file_searches": frozenset({"searches"}),
        "map_searches": frozenset({"searches"}),
    }
)
"""Keys of those chains that are the price of something else, which costs less at some providers."""
PRICE_KEYS = frozenset(key for chain in FALLBACKS.values() for key in chain)

_SLOT = {name: index for index, name in enumerate(PRICED)}
_ONE = Fraction(1)
_FIRST_CALL = _SLOT[TOOL_COUNTS[0]]
_INPUTS = (*INPUT_COUNTS, *(part for part, whole in PARTS.items() if whole in INPUT_COUNTS))
_TEXT_OUTPUTS = ("out_visible", "out_reasoning")
_PART_SLOTS = tuple((_SLOT[part], _SLOT[whole]) for part, whole in PARTS.items())  # in the order of `parts_of`


class PriceError(ValueError):
    """A row that is not a valid price. ``key`` is the price key at fault; the message says how to fix it."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, slots=True)
class Schedule:
    """Rates by size of the input: ``above`` holds (input tokens, rates), ascending.

    ``unstated`` names the counts that have no price of their own in the row: they have a neighbour's, or none.
    """

    base: Rates
    above: tuple[tuple[int, Rates], ...] = ()
    unstated: tuple[str, ...] = ()

    def highest(self, input_tokens: int) -> Rates:
        """The highest of each rate that an input of up to ``input_tokens`` may be billed at."""
        tables = [self.base, *(rates for start, rates in self.above if start < input_tokens)]
        return tuple(
            None if column[0] is None else max(rate or 0 for rate in column) for column in zip(*tables, strict=True)
        )

    def at(self, input_tokens: int) -> Rates:
        rates = self.base
        for start, higher in self.above:
            if input_tokens <= start:
                break
            rates = higher
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
    unstated = tuple(name for name in PRICED if not _states(row, name))
    return Schedule(tables[0][1], tuple(tables[1:]), unstated)


def _states(row: Row, name: str) -> bool:
    key = _key(row, name)
    return key is not None and key not in NEIGHBOURS.get(name, ())


def _key(row: Row, name: str) -> str | None:
    return next((key for key in FALLBACKS[name] if key in row), None)


def _rates(row: Row, start: int, credit_usd: Decimal) -> Rates:
    rates: list[int | None] = []
    for name in PRICED:
        key = _key(row, name)
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
    """Whether ``searches``, ``fetches`` or ``code_runs``, or a part of them, has a rate (zero is one) at this model."""
    return price.standard.base[_SLOT[count]] is not None


def _select(price: Price, variant: Variant) -> tuple[Schedule, Fraction, bool]:
    """Rates, multiplier, and whether every part of the variant has a row.

    A provider may report a part without a price (a tier that did not exist when the prices were
    stated). Its request has been served, so it costs what the rest of the variant costs.
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
        else:  # no row, or two parts with rates of their own, for whose combination no price is stated
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
    parts = parts_of(usage)
    if any(parts):
        for part, (slot, whole) in zip(parts, _PART_SLOTS, strict=True):
            if part and (rate := rates[slot]) is not None:
                more = part * (rate - (rates[whole] or 0))
                if whole < _FIRST_CALL:
                    tokens += more
                else:
                    calls += more
    return tokens, calls


class Bill(NamedTuple):
    """What a request costs, each in micro-credits and rounded up once.

    Attributes:
        cost: The provider's price.
        charge: The user's price: the cost with the markup.
        complete: Every count has a price of its own, and so has the variant.
    """

    cost: int
    charge: int
    complete: bool


def bill(shares: Sequence[tuple[Price, Usage]], variant: Variant) -> Bill:
    """The bill of a request that made one or more model requests, each priced by its own model and context."""
    total: int | Fraction = 0
    complete = True
    for price, usage in shares:
        schedule, factor, known = _select(price, variant)
        rates = schedule.at(usage.input_tokens) if schedule.above else schedule.base
        tokens, calls = _units(rates, usage)
        total += tokens + calls if factor is _ONE else tokens * factor + calls
        complete = complete and known and not any(map(partial(getattr, usage), schedule.unstated))
    cost = -(-total // MILLION)
    markup = shares[0][0].markup
    return Bill(cost, cost if markup is _ONE else -(-total * markup // MILLION), complete)


class Line(NamedTuple):
    """The user's exact price of a request as a function of its output tokens: (``fixed`` + ``each`` x tokens) /
    ``scale`` micro-credits, rounded up.
    """

    fixed: int
    each: int
    scale: int

    def amount(self, output: int) -> int:
        """Micro-credits for ``output`` tokens."""
        return -(-(self.fixed + self.each * output) // self.scale)

    def output(self, amount: int) -> int | None:
        """The most output tokens that ``amount`` pays for; negative if it does not pay the input, ``None`` if output is
        free.
        """
        return (amount * self.scale - self.fixed) // self.each if self.each else None


def line(
    price: Price,
    variant: Variant,
    *,
    input_tokens: int,
    choices: int = 1,
    calls: Iterable[str] = (),
    times: int = 1,
    worst: bool = False,
    unread: Collection[str] = (),
    text_out: bool = False,
) -> Line:
    """The price of a request that was not sent yet, as a function of the output tokens of each of its choices.

    Args:
        price: The target's price.
        variant: What the request asks for.
        input_tokens: The bound of the request's input.
        choices: How many answers are asked for at once.
        calls: Tool counts, or parts of them, that the request switches on.
        times: How often each of them is called.
        worst: Use the highest rate that the tokens could be billed at (audio, video, a one-hour cache write, the rate
            for shorter inputs) instead of the usual one of text.
        unread: Input counts that the request cannot have; their rates are left out of the highest.
        text_out: For output, only the rates of text are considered.
    """
    schedule, factor, _ = _select(price, variant)
    rates = schedule.highest(input_tokens) if worst and schedule.above else schedule.at(input_tokens)
    inputs = [name for name in _INPUTS if name not in unread] if worst else ("in_uncached",)
    tokens = input_tokens * _highest(rates, inputs)
    each = choices * _highest(rates, OUTPUT_COUNTS if worst and not text_out else _TEXT_OUTPUTS)
    fees = times * sum(rates[_SLOT[name]] or 0 for name in calls)
    markup = price.markup
    if factor is _ONE and markup is _ONE:
        return Line(tokens + fees, each, MILLION)
    # A variant's multiplier applies to tokens: a search costs the same in every service tier.
    return Line(
        (tokens * factor.numerator + fees * factor.denominator) * markup.numerator,
        each * factor.numerator * markup.numerator,
        MILLION * factor.denominator * markup.denominator,
    )


def _highest(rates: Rates, names: Iterable[str]) -> int:
    return max(rates[_SLOT[name]] or 0 for name in names)
