from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from metering.pricing import (
    FALLBACKS,
    MILLION,
    NEIGHBOURS,
    PRICE_KEYS,
    PRICED,
    Line,
    Price,
    PriceError,
    Row,
    bill,
    build,
    line,
    priced,
    prices_calls,
)
from metering.usage import COUNTS, PARTS, Geography, ServiceTier, Speed, Usage, Variant
from tests.metering.bills import charge, cost

CENT = Decimal("0.01")
STANDARD = Variant()
PRIORITY = Variant(tier=ServiceTier.PRIORITY)
FAST = Variant(speed=Speed.FAST)
US = Variant(geography=Geography.US)
FAST_US = Variant(speed=Speed.FAST, geography=Geography.US)


def row(**prices: str | tuple[tuple[int, str], ...]) -> Row:
    return {
        key: ((0, Decimal(value)),)
        if isinstance(value, str)
        else tuple((start, Decimal(price)) for start, price in value)
        for key, value in prices.items()
    }


def price(
    stated: Row | None = None, variants: dict[str, Row | Fraction] | None = None, markup: Fraction = Fraction(1)
) -> Price:
    return build(stated or row(input="3", output="15"), variants or {}, credit_usd=CENT, markup=markup, version="t")


def test_one_usd_is_a_hundred_credits_of_a_million_micro_credits() -> None:
    assert cost(price(), Usage(in_uncached=1_000_000), STANDARD) == 3 * 100 * 1_000_000


def test_every_count_has_a_fall_back_chain_and_nothing_else_has() -> None:
    assert tuple(FALLBACKS) == PRICED == (*COUNTS, *PARTS)
    assert all(keys < set(FALLBACKS[name]) for name, keys in NEIGHBOURS.items())


def test_the_exact_sum_of_a_mixed_request() -> None:
    stated = row(
        input="3",
        output="15",
        cache_read="0.3",
        cache_write="3.75",
        cache_write_1h="6",
        audio_in="32",
        searches="10000",
    )
    usage = Usage(
        in_uncached=1_000,
        cache_read=2_000,
        cache_write_5m=300,
        cache_write_1h=40,
        audio_in=7,
        out_visible=500,
        out_reasoning=100,
        searches=2,
    )
    usd = Decimal(1_000 * 3 + 600 * 15 + 7 * 32 + 40 * 6) + 2_000 * Decimal("0.3") + 300 * Decimal("3.75")
    usd += 2 * 10_000
    assert cost(price(stated), usage, STANDARD) == usd * 100


@pytest.mark.parametrize(
    ("count", "falls_to"),
    [
        ("cache_read", "3"),
        ("cache_write_5m", "3"),
        ("cache_write_1h", "3"),
        ("cache_write_other", "3"),
        ("tool_in", "3"),
        ("audio_in", "3"),
        ("image_in", "3"),
        ("out_reasoning", "15"),
        ("audio_out", "15"),
        ("image_out", "15"),
    ],
)
def test_a_token_count_without_a_row_costs_what_its_direction_costs(count: str, falls_to: str) -> None:
    assert cost(price(), Usage(**{count: MILLION}), STANDARD) == int(falls_to) * 100_000_000


@pytest.mark.parametrize("count", ["cache_write_5m", "cache_write_1h", "cache_write_other"])
def test_cache_writes_fall_back_to_the_one_stated_write_price(count: str) -> None:
    assert cost(price(row(input="3", output="15", cache_write="4")), Usage(**{count: MILLION}), STANDARD) == 400_000_000


def test_a_call_without_a_row_is_known_as_such_and_zero_is_a_row() -> None:
    built = price(row(input="1", output="1", fetches="0"))
    assert prices_calls(built, "fetches")
    assert not prices_calls(built, "searches")
    assert cost(built, Usage(fetches=5), STANDARD) == 0


def test_a_charge_is_rounded_up_once() -> None:
    third = price(row(input="0.000000005", output="0.000000005"))  # half a micro-credit a million
    assert cost(third, Usage(in_uncached=1, out_visible=1), STANDARD) == 1
    tiny = price(row(input="0.01", output="0.01"))  # 1 micro-credit a token
    assert cost(tiny, Usage(in_uncached=1, out_visible=1), STANDARD) == 2


def test_no_usage_costs_nothing() -> None:
    assert cost(price(), Usage(), STANDARD) == 0
    assert cost(price(), Usage().settled(), STANDARD) == 0


def test_long_inputs_cost_the_dearer_rate_for_all_their_tokens() -> None:
    built = price(row(input=((0, "3"), (200_000, "6")), output=((0, "15"), (200_000, "22.5")), cache_read="0.3"))
    at = Usage(in_uncached=150_000, cache_read=50_000, out_visible=10)
    above = replace(at, cache_read=50_001)
    assert cost(built, at, STANDARD) == 100 * (150_000 * 3 + 10 * 15) + 100 * 50_000 * 3 // 10
    assert cost(built, above, STANDARD) == -(-(100 * (150_000 * 6 * 10 + 10 * 225 + 50_001 * 3)) // 10)


def test_several_thresholds_hold_each_from_its_own_size() -> None:
    built = price(row(input=((0, "1"), (10, "2"), (20, "4")), output="0"))
    costs = [cost(built, Usage(in_uncached=tokens), STANDARD) // (100 * tokens) for tokens in (10, 11, 20, 21)]
    assert costs == [1, 2, 2, 4]


def test_a_variant_multiplies_tokens_but_not_calls() -> None:
    built = price(row(input="2", output="2", searches="10000"), {"priority": Fraction(5, 2)})
    assert cost(built, Usage(in_uncached=100, searches=1), PRIORITY) == 100 * (100 * 5 + 10_000)


def test_a_variant_with_rates_of_its_own_states_only_what_differs() -> None:
    built = price(row(input="2", output="4", cache_read="0.5"), {"standard.fast": row(input="10", output="20")})
    assert cost(built, Usage(in_uncached=1, cache_read=2, out_visible=3), FAST) == 100 * (10 + 1 + 60)
    assert cost(built, Usage(in_uncached=1, cache_read=2, out_visible=3), STANDARD) == 100 * (2 + 1 + 12)


def test_variants_combine_where_each_part_has_a_row() -> None:
    built = price(row(input="2", output="4"), {"standard.fast": row(input="10"), "standard.us": Fraction(11, 10)})
    assert priced(built, FAST_US)
    assert cost(built, Usage(in_uncached=100), FAST_US) == 100 * 100 * 11
    assert not priced(built, replace(FAST_US, tier=ServiceTier.FLEX))


def test_a_combined_variant_with_a_row_of_its_own_is_taken_as_stated() -> None:
    built = price(None, {"standard.fast": Fraction(2), "standard.us": Fraction(3), "standard.fast.us": Fraction(4)})
    assert cost(built, Usage(in_uncached=1), FAST_US) == 100 * 3 * 4


def test_two_parts_with_rates_of_their_own_have_no_stated_product() -> None:
    built = price(None, {"standard.fast": row(input="10"), "standard.us": row(input="4")})
    assert priced(built, FAST)
    assert priced(built, US)
    assert not priced(built, FAST_US)


def test_what_nobody_priced_is_refused_before_and_charged_without_it_after() -> None:
    assert priced(price(), STANDARD)
    assert not priced(price(), PRIORITY)
    assert cost(price(), Usage(in_uncached=10), PRIORITY) == cost(price(), Usage(in_uncached=10), STANDARD)


def test_markup_is_on_the_charge_alone() -> None:
    built = price(markup=Fraction(6, 5))
    usage = Usage(in_uncached=101)
    assert cost(built, usage, STANDARD) == 100 * 303
    assert charge(built, usage, STANDARD) == 100 * 303 * 6 // 5


@given(
    counts=st.dictionaries(st.sampled_from(COUNTS), st.integers(0, 10**7)),
    markup=st.fractions(Fraction(1, 10), 10, max_denominator=1000),
    factor=st.fractions(0, 10, max_denominator=1000),
    rate=st.decimals(0, 1000, places=6),
)
def test_any_charge_is_the_exact_amount_rounded_up(
    counts: dict[str, int], markup: Fraction, factor: Fraction, rate: Decimal
) -> None:
    stated = row(input=str(rate), output="15", searches="10000", fetches="1", code_runs="30000")
    built = price(stated, {"priority": factor}, markup)
    base = built.standard.base
    usage = Usage(**counts)
    exact = sum(
        (
            Fraction(count * (base[COUNTS.index(name)] or 0), MILLION)
            * (1 if name in ("searches", "fetches", "code_runs") else factor)
            for name, count in counts.items()
        ),
        Fraction(0),
    )
    assert cost(built, usage, PRIORITY) == -((-exact) // 1)
    assert charge(built, usage, PRIORITY) == -((-exact * markup) // 1)


@pytest.mark.parametrize(
    ("stated", "key"),
    [
        (row(input="1"), "output"),
        (row(output="1"), "input"),
        (row(input="-1", output="1"), "input"),
        (row(input="NaN", output="1"), "input"),
        (row(input="1", output="Infinity"), "output"),
        (row(input="1000001", output="1"), "input"),
        (row(input="1", output="1", inputs="1"), "inputs"),
        (row(input="1", output=((5, "1"),)), "output"),
        (row(input=((5, "1"),), output=((5, "1"),)), "input"),
    ],
)
def test_a_row_that_cannot_be_priced_with_names_its_key(stated: Row, key: str) -> None:
    with pytest.raises(PriceError) as caught:
        price(stated)
    assert caught.value.key == key


def test_a_variant_row_is_checked_like_any_other() -> None:
    with pytest.raises(PriceError):
        price(None, {"priority": row(input="-1")})


def test_an_odd_credit_rounds_rates_up_not_down() -> None:
    built = build(row(input="1", output="1"), {}, credit_usd=Decimal("0.03"), version="t")
    assert built.standard.base[0] == 33_333_334


def hold(built, variant, *, output_tokens, **more):
    return line(built, variant, **more).amount(output_tokens)


def test_a_hold_is_what_the_estimate_would_be_charged() -> None:
    built = price(row(input="3", output="15", searches="10000"), {"priority": Fraction(2)}, Fraction(6, 5))
    held = hold(built, PRIORITY, input_tokens=1_000, output_tokens=200, choices=3, calls=("searches",))
    assert held == charge(built, Usage(in_uncached=1_000, out_visible=600, searches=1), PRIORITY)


def test_a_hold_takes_the_dearer_of_shown_and_hidden_output() -> None:
    built = price(row(input="0", output="1", out_reasoning="5"))
    assert hold(built, STANDARD, input_tokens=0, output_tokens=10) == 100 * 50


def test_the_worst_hold_covers_every_way_to_bill_the_same_tokens() -> None:
    built = price(row(input="1", output="1", cache_write_1h="2", audio_in="40", audio_out="80", image_out="30"))
    held = hold(built, STANDARD, input_tokens=10, output_tokens=10, worst=True)
    for count_in in COUNTS[:8]:
        for count_out in COUNTS[8:12]:
            assert charge(built, Usage(**{count_in: 10, count_out: 10}), STANDARD) <= held
    assert held > hold(built, STANDARD, input_tokens=10, output_tokens=10)


def test_the_worst_hold_covers_the_parts_of_a_count() -> None:
    built = price(row(input="1", output="1", audio_in="6.5", video_in="12"))
    held = hold(built, STANDARD, input_tokens=10, output_tokens=0, worst=True)
    assert held == charge(built, Usage(in_uncached=10, video_in=10), STANDARD) == 100 * 120


def test_a_hold_takes_the_price_of_the_very_search_tool() -> None:
    built = price(row(input="0", output="0", searches="10000", preview_searches="25000"))
    assert hold(built, STANDARD, input_tokens=0, output_tokens=0, calls=("preview_searches",)) == 2_500_000
    assert hold(built, STANDARD, input_tokens=0, output_tokens=0, calls=("searches", "preview_searches")) == 3_500_000


def test_a_hold_is_taken_at_the_rate_of_the_input_size() -> None:
    built = price(row(input=((0, "1"), (100, "2")), output="0"))
    assert hold(built, STANDARD, input_tokens=101, output_tokens=0) == 100 * 202


def test_the_worst_hold_knows_that_the_input_may_be_smaller_than_its_bound() -> None:
    built = price(row(input=((0, "4"), (100, "1")), output=((0, "1"), (100, "5"))))
    held = hold(built, STANDARD, input_tokens=101, output_tokens=10, worst=True)
    assert held == 100 * (101 * 4 + 10 * 5)


def test_media_are_in_the_worst_hold_unless_there_are_none() -> None:
    built = price(row(input="1", output="1", audio_in="40", cache_write="2", audio_out="80", out_reasoning="3"))
    unread = ("image_in", "audio_in", "cache_read_audio", "video_in")
    text = line(built, STANDARD, input_tokens=10, worst=True, unread=unread, text_out=True)
    assert text.amount(10) == 100 * (10 * 2 + 10 * 3)
    assert line(built, STANDARD, input_tokens=10, worst=True).amount(10) == 100 * (10 * 40 + 10 * 80)


RATE = st.integers(0, 5_000_000).map(lambda cents: Decimal(cents) / 100)
ROWS = st.fixed_dictionaries(
    {"input": RATE, "output": RATE},
    optional=dict.fromkeys(
        ("cache_read", "cache_write", "cache_write_1h", "audio_in", "image_out", "out_reasoning", "searches"), RATE
    ),
)
FACTOR = st.fractions(Fraction(1, 10), 4, max_denominator=100)


@given(
    stated=ROWS,
    factor=FACTOR,
    markup=FACTOR,
    tokens=st.integers(0, 10**6),
    choices=st.integers(1, 8),
    calls=st.integers(0, 10),
    parts=st.lists(st.integers(0, 100), min_size=12, max_size=12).filter(any),
    output=st.integers(0, 10**6),
    priority=st.booleans(),
)
def test_no_request_costs_more_than_its_worst_line(
    stated, factor, markup, tokens, choices, calls, parts, output, priority
):
    built = price({name: ((0, rate),) for name, rate in stated.items()}, {"priority": factor}, markup)
    variant = PRIORITY if priority else STANDARD
    names = ("searches",) * (calls if "searches" in stated else 0)
    worst = line(built, variant, input_tokens=tokens, choices=choices, calls=names, worst=True)
    usage = Usage(searches=len(names))
    for group, total in ((COUNTS[:8], tokens), (COUNTS[8:12], output * choices)):
        shares = parts[: len(group)] if group == COUNTS[:8] else parts[8:]
        for name, share in zip(group, shares, strict=True):
            setattr(usage, name, total * share // max(1, sum(shares)))
    assert charge(built, usage, variant) <= worst.amount(output)


@given(
    line=st.builds(Line, st.integers(0, 10**12), st.integers(1, 10**9), st.integers(1, 10**9)),
    amount=st.integers(0, 10**9),
)
def test_a_line_tells_the_output_that_an_amount_pays_to_the_token(line, amount):
    tokens = line.output(amount)
    if tokens >= 0:
        assert line.amount(tokens) <= amount
    assert line.amount(tokens + 1) > amount or tokens + 1 < 0


def test_output_that_costs_nothing_has_no_limit() -> None:
    assert Line(5, 0, 1).output(4) is None


def test_the_price_keys_are_documented_names() -> None:
    assert {"input", "output", "cache_read", "cache_write"} <= PRICE_KEYS
    assert not {"in_uncached", "out_visible"} & PRICE_KEYS


# Parts of counts, and what nobody stated a price for.

FULL = row(
    **dict.fromkeys(("input", "output", "cache_read", "cache_write", "cache_write_1h", "audio_in", "audio_out"), "1"),
    **dict.fromkeys(("image_out", "searches", "preview_searches", "file_searches", "map_searches"), "1"),
    **dict.fromkeys(("fetches", "code_runs"), "1"),
)


def test_a_part_costs_its_own_price_and_the_rest_of_its_count_the_usual_one() -> None:
    built = price(
        row(input="0.3", output="2.5", cache_read="0.03", audio_in="1", cache_read_audio="0.1", video_in="12")
    )
    usage = Usage(in_uncached=1_000, video_in=400, cache_read=100_000, cache_read_audio=60_000)
    usd = 600 * Decimal("0.3") + 400 * 12 + 40_000 * Decimal("0.03") + 60_000 * Decimal("0.1")
    assert bill([(built, usage)], STANDARD) == (usd * 100, usd * 100, True)


def test_each_kind_of_search_has_its_own_row() -> None:
    built = price(
        row(
            input="1",
            output="1",
            searches="10000",
            preview_searches="25000",
            file_searches="2500",
            map_searches="14000",
        )
    )
    usage = Usage(searches=10, preview_searches=2, file_searches=3, map_searches=1)
    assert cost(built, usage, STANDARD) == 100 * (4 * 10_000 + 2 * 25_000 + 3 * 2_500 + 14_000)


def test_cached_audio_without_a_row_costs_what_audio_costs() -> None:
    built = price(row(input="1", output="1", cache_read="0.1", audio_in="10"))
    assert bill([(built, Usage(cache_read=5, cache_read_audio=5))], STANDARD) == (5_000, 5_000, True)


@pytest.mark.parametrize("name", PRICED)
def test_a_bill_is_complete_only_if_each_count_has_a_price_of_its_own(name: str) -> None:
    usage = Usage(**{name: 1, PARTS.get(name, name): 1})
    assert bill([(price(FULL), usage)], STANDARD).complete
    bare = price(row(input="1", output="1"))
    own = {"in_uncached", "cache_read", "tool_in", "image_in", "video_in", "out_visible", "out_reasoning"}
    assert bill([(bare, usage)], STANDARD).complete is (name in own)
    assert bill([(bare, Usage(**{name: 0, "out_visible": 1}))], STANDARD).complete


def test_an_hours_cache_write_at_the_price_of_five_minutes_is_incomplete() -> None:
    built = price(row(input="1", output="1", cache_write="1.25"))
    assert bill([(built, Usage(cache_write_5m=1, cache_write_other=1))], STANDARD).complete
    assert not bill([(built, Usage(cache_write_1h=1))], STANDARD).complete


def test_a_variant_without_a_row_is_charged_as_the_rest_and_makes_the_bill_incomplete() -> None:
    usage = Usage(in_uncached=10)
    assert bill([(price(), usage)], PRIORITY) == (*bill([(price(), usage)], STANDARD)[:2], False)
    assert bill([(price(None, {"priority": Fraction(2)}), usage)], PRIORITY).complete


def test_each_model_request_is_priced_by_its_own_context_and_the_sum_rounded_once() -> None:
    steps = row(input=((0, "3"), (200_000, "6")), output=((0, "15"), (200_000, "22.5")))
    built = price(steps, None, Fraction(11, 10))
    four = [(built, Usage(in_uncached=60_000, out_visible=100))] * 4
    assert bill(four, STANDARD).cost == 100 * (240_000 * 3 + 400 * 15)
    one_long = [*four, (built, Usage(in_uncached=200_001))]
    assert bill(one_long, STANDARD).cost == 100 * (240_000 * 3 + 400 * 15 + 200_001 * 6)
    third = price(row(input="0.000000005", output="0"))
    assert bill([(third, Usage(in_uncached=1))] * 3, STANDARD).cost == 1
    other = price(row(input="5", output="25"), None, Fraction(11, 10))
    both = bill([(built, Usage(in_uncached=1)), (other, Usage(out_visible=1))], STANDARD)
    assert (both.cost, both.charge) == (100 * 28, 100 * 28 * 11 // 10)


@given(
    shares=st.lists(
        st.dictionaries(st.sampled_from(COUNTS), st.integers(0, 10**6), max_size=4), min_size=1, max_size=4
    ),
    share=st.fractions(0, 1, max_denominator=7),
    factor=st.fractions(0, 3, max_denominator=9),
)
def test_any_bill_is_the_sum_of_exact_amounts(shares: list[dict[str, int]], share: Fraction, factor: Fraction) -> None:
    built = price(FULL | row(cache_read_audio="7", video_in="9", map_searches="3"), {"priority": factor})
    rates = dict(zip(PRICED, built.standard.base, strict=True))
    usages, exact = [], Fraction(0)
    for counts in shares:
        parts = {
            part: int(counts.get(whole, 0) * share)
            for part, whole in PARTS.items()
            if part in ("cache_read_audio", "video_in", "map_searches")
        }
        usages.append((built, Usage(**counts, **parts)))
        rest = {**counts, **parts}
        for part, number in parts.items():
            rest[PARTS[part]] = rest.get(PARTS[part], 0) - number
        calls = ("searches", "fetches", "code_runs", "map_searches")
        exact += sum(
            Fraction(number * (rates[name] or 0), MILLION) * (1 if name in calls else factor)
            for name, number in rest.items()
        )
    assert bill(usages, PRIORITY).cost == -((-exact) // 1)
